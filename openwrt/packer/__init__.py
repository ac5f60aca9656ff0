"""What openwrt/build-packages is made of.

recipe    openwrt/Makefile: names, fields, files, modes and scripts
tree      the files of a package
control   what both kinds of package say about themselves
ipk       packages of opkg (24.10)
adb, apk  packages of apk (25.12): the format, and how OpenWrt uses it
devices   which architecture is which device, and which binary runs there
command   the command line
"""
