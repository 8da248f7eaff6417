"""Headers: kexec, what the files of ../../kexec/ give to each other and to Ppc64."""
