#!/usr/bin/env bash
# fdtoverlay turns the order of an overlay's nodes round, and with it the numbers of CPUs.
. "$(dirname "$0")/common"
deb device-tree-compiler=1.6.1-4+b1 libfdt1=1.6.1-4+b1 libyaml-0-2=0.2.5-1
cat <<TEXT
device-tree-compiler 1.6.1: a tree with cpu@0 in /cpus, and cpu@1, cpu@2, cpu@3 added to it: by an overlay that fdtoverlay
applies, and by the same lines behind the tree in one source for dtc.
Guess: both give cpu@0, cpu@1, cpu@2, cpu@3: an overlay's nodes follow those of the base, in the overlay's order.
Seen: dtc does so. fdtoverlay puts the new nodes before the old, and the last of them first: cpu@3, cpu@2, cpu@1, cpu@0; a new
node's properties are turned round, too. libfdt inserts in front: a node right behind its parent's properties, a property at
its node's start (libfdt/fdt_rw.c, fdt_add_subnode_namelen, fdt_add_property_). Linux numbers CPUs in the order of the nodes
(arm64: of_parse_and_init_cpus, arch/arm64/kernel/smp.c).
TEXT
cpus='cpu@1 { device_type = "cpu"; reg = <1>; compatible = "arm,cortex-a72"; };'
for n in 2 3; do cpus+=" cpu@$n { device_type = \"cpu\"; reg = <$n>; };"; done
cat >"$tmp/base.dts" <<'DTS'
/dts-v1/;
/ { cpus: cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = "cpu"; reg = <0>; }; }; };
DTS
(cat "$tmp/base.dts"; echo "&cpus { $cpus };") >"$tmp/whole.dts"
echo "/dts-v1/; /plugin/; &{/cpus} { $cpus };" >"$tmp/overlay.dts"
for name in base whole overlay; do dtc -q -@ -O dtb -o "$tmp/$name" "$tmp/$name.dts"; done
fdtoverlay -i "$tmp/base" -o "$tmp/overlaid" "$tmp/overlay"
nodes() { fdtget -l "$tmp/$1" /cpus | paste -sd' '; }
properties() { fdtget -p "$tmp/$1" /cpus/cpu@1 | paste -sd' '; }
expect "dtc, nodes of /cpus" "cpu@0 cpu@1 cpu@2 cpu@3" "$(nodes whole)"
expect "fdtoverlay, nodes of /cpus" "cpu@3 cpu@2 cpu@1 cpu@0" "$(nodes overlaid)"
expect "dtc, properties of cpu@1" "device_type reg compatible" "$(properties whole)"
expect "fdtoverlay, properties of cpu@1" "compatible reg device_type" "$(properties overlaid)"
finish
