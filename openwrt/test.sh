#!/bin/sh
# What the feed's CI runs in a container after the package is installed. $1: the package, $2: its version.

[ "$1" = greylet ] || exit 0

greylet --version | grep -F "greylet $2" || exit 1

# A new triplet is deferred, which query says with exit status 3.
socket=/tmp/greylet-test.$$
greylet serve --unix="$socket" --dbdir= &
server=$!
trap 'kill "$server"' EXIT
tries=0
while
	greylet query --server="unix:$socket" --client-address=192.0.2.1 --sender=a@s.example --recipient=b@r.example
	status=$?
	[ "$status" = 1 ] && [ "$tries" -lt 10 ]
do
	tries=$((tries + 1))
	sleep 1
done
[ "$status" = 3 ]
