#!/bin/sh
# Names the directory of seeds of a fuzz target, if it has one.
cd "$(dirname "$0")" || exit 1
case $1 in
view | decode | tags) seeds=seeds/music ;;
*) seeds=seeds/$1 ;;
esac
if [ -d "$seeds" ]; then echo "fuzz/$seeds"; fi
