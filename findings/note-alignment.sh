#!/usr/bin/env bash
# Notes aligned to 8 in an ELF64 core: who follows gABI, and who goes on without a word.
. "$(dirname "$0")/common"
deb binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1 llvm-14=1:14.0.6-12
wheels pyelftools==0.33 lief==1.0.0 drgn==0.3.0
