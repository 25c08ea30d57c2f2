#!/bin/sh
# Makes the secrets of docker-compose.yml: random passwords and keys, each in a file of its own. Needs openssl. Nothing is overwritten.
#
#   deploy/init-secrets.sh [--self-signed HOST]... [FOLDER]     FOLDER: default `secrets` beside docker-compose.yml
#
# --self-signed makes the edge's certificate too, for these host names or IP addresses, and only for trying out: everybody who connects,
# and every node that pulls, must be given tls.crt to trust. Otherwise put tls.crt (the whole chain) and tls.key there yourself.
#
# Compose mounts each file by itself and keeps its owner and mode. The folder is its owner's alone (0700); the files in it can be read
# (0444), since the processes in the containers are several users, none of whom can reach the folder on this machine.
set -eu
umask 077

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
  exit 2
}

hosts=''
folder=''
while [ $# -gt 0 ]; do
  case $1 in
    --self-signed)
      [ $# -ge 2 ] || usage
      case $2 in
        '' | *[!0-9A-Za-z.:-]*) echo "init-secrets: \"$2\" is neither a host name nor an IP address" >&2; exit 2 ;;
        *:* | [0-9]*.[0-9]*.[0-9]*.*[0-9]) hosts="$hosts,IP:$2" ;;
        *) hosts="$hosts,DNS:$2" ;;
      esac
      shift 2
      ;;
    -*) usage ;;
    *)
      [ -z "$folder" ] || usage
      folder=$1
      shift
      ;;
  esac
done
folder=${folder:-$(dirname "$0")/../secrets}

command -v openssl >/dev/null || { echo 'init-secrets: openssl is missing; install it first' >&2; exit 1; }
if [ -e "$folder" ]; then
  echo "init-secrets: $folder exists; secrets are never overwritten. To make new ones, move it away first (docs/operating.md says what that means)." >&2
  exit 1
fi

# Made beside its place and moved there at the end: a folder that is there is whole.
parent=$(dirname "$folder")
mkdir -p "$parent"
draft=$(mktemp -d "$parent/.secrets-XXXXXX")
trap 'rm -rf "$draft"' EXIT
trap 'exit 1' HUP INT TERM

random() {
  openssl rand -hex "$1"
}

database_password=$(random 24)
redis_password=$(random 24)
printf '%s\n' "$database_password" >"$draft/database_password"
printf 'postgres://gantry:%s@postgres:5432/gantry\n' "$database_password" >"$draft/database_url"
printf 'redis://:%s@redis:6379/0\n' "$redis_password" >"$draft/redis_url"
random 12 >"$draft/admin_password"
openssl rand -base64 32 >"$draft/secret_key"
openssl genpkey -algorithm ed25519 -out "$draft/audit.key"

cat >"$draft/redis.conf" <<END
bind * -::*
dir /data
requirepass $redis_password
appendonly yes
appendfsync everysec
# A queue must not lose entries to make room.
maxmemory-policy noeviction
END

# The registry believes tokens signed by the key whose certificate it is given.
openssl req -x509 -sha256 -days 3650 -subj '/CN=Gantry registry tokens' -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
  -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
  -keyout "$draft/token.key" -out "$draft/token.crt" 2>/dev/null

cat >"$draft/registry.yml" <<END
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
http:
  addr: :5000
  relativeurls: true
  secret: $(random 32)
auth:
  token:
    realm: https://gantry.invalid/auth/token
    service: gantry-registry
    issuer: gantry
    rootcertbundle: /run/secrets/token_cert
END

if [ -n "$hosts" ]; then
  openssl req -x509 -sha256 -days 365 -subj '/CN=Gantry edge' -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -addext "subjectAltName=${hosts#,}" -addext keyUsage=critical,digitalSignature,keyCertSign -addext extendedKeyUsage=serverAuth \
    -keyout "$draft/tls.key" -out "$draft/tls.crt" 2>/dev/null
fi

# The folder is kept out of version control by itself.
printf '*\n' >"$draft/.gitignore"
chmod 0444 "$draft"/* "$draft/.gitignore"
mv "$draft" "$folder"
trap - EXIT

echo "Secrets are in $folder. The recovery admin's first password is in $folder/admin_password."
[ -n "$hosts" ] || echo "Now put the edge's certificate chain and key there: tls.crt and tls.key (mode 0444)."
