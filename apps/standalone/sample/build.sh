#!/bin/sh
# Builds the sample's web server for this machine's architecture and prints it as base64 of its gzip.
set -eu
cd "$(dirname "$0")"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
${CC:-gcc} -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie -no-pie -fcf-protection=none \
  -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -s -o "$out" server.c
gzip -9nc "$out" | base64 -w 100
