import { strToU8, zipSync, type Zippable } from 'fflate';

/** What goes into a client bundle. */
export interface BundleParts {
  /** Host name or address of the gateway; IPv6 without brackets. */
  host: string;
  port: number;
  /** Certificates, PEM, by which the gateway is recognised. */
  ca: string;
  cert: string;
  key: string;
  /** Who comes with it. */
  account: string;
  /** Name of the cluster that was chosen, or null. */
  cluster: string | null;
  certificateId: string;
  now: Date;
  expiresAt: Date;
}

/** Where Docker's clients find the gateway. */
export function dockerHost({ host, port }: Pick<BundleParts, 'host' | 'port'>): string {
  return `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What `docker context import` takes, and nothing else: it refuses an archive with further files. */
export function contextZip(parts: BundleParts): Uint8Array {
  const description = `Gantry, as ${parts.account}${parts.cluster === null ? '' : `, cluster ${parts.cluster}`}`;
  const meta = { Name: 'gantry', Metadata: { Description: description }, Endpoints: { docker: { Host: dockerHost(parts), SkipTLSVerify: false } } };
  return zip(parts.now, {
    'meta.json': [JSON.stringify(meta), 0o644], 'tls/docker/ca.pem': [parts.ca, 0o644], 'tls/docker/cert.pem': [parts.cert, 0o644], 'tls/docker/key.pem': [parts.key, 0o600],
  });
}

/** The bundle: keys, scripts that point Docker's clients to them, and within it the archive for `docker context import`. */
export function bundleZip(parts: BundleParts): Uint8Array {
  return zip(parts.now, {
    'ca.pem': [parts.ca, 0o644], 'cert.pem': [parts.cert, 0o644], 'key.pem': [parts.key, 0o600], 'env.sh': [envSh(parts), 0o644], 'env.ps1': [envPs1(parts), 0o644],
    'env.cmd': [envCmd(parts), 0o644], 'context.zip': [contextZip(parts), 0o600], 'README.txt': [readme(parts), 0o644],
  });
}

function zip(now: Date, files: Record<string, [content: string | Uint8Array, mode: number]>): Uint8Array {
  const regular = 0o100000;
  const entries = Object.entries(files).map(([name, [content, mode]]): [string, Zippable[string]] => [
    name, [typeof content === 'string' ? strToU8(content) : content, { os: 3, attrs: ((regular | mode) << 16) >>> 0, mtime: now }],
  ]);
  return zipSync(Object.fromEntries(entries));
}

/** For bash, zsh and POSIX shells, read (`source`) from anywhere or evaluated in its own folder. Comments would end a script that is evaluated as one line. */
function envSh(parts: BundleParts): string {
  return `gantry_folder="$PWD"; gantry_script='';
if [ -n "\${BASH_SOURCE:-}" ]; then gantry_script="$BASH_SOURCE"; elif [ -n "\${ZSH_VERSION:-}" ]; then eval 'gantry_script="\${(%):-%x}"'; fi;
case "$gantry_script" in env.sh) ;; */env.sh) gantry_folder="$(CDPATH='' cd -- "\${gantry_script%/*}" && pwd)" ;; esac;
if [ -r "$gantry_folder/key.pem" ]; then export DOCKER_HOST=${shellQuoted(dockerHost(parts))} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$gantry_folder"; else echo 'env.sh: no key.pem here; go to the folder of the bundle first' >&2; fi;
unset gantry_folder gantry_script;
`;
}

function envPs1(parts: BundleParts): string {
  return [
    "$Folder = if ($PSScriptRoot) { $PSScriptRoot } else { (Get-Location).Path }",
    `$Env:DOCKER_HOST = '${dockerHost(parts).replaceAll("'", "''")}'`,
    "$Env:DOCKER_TLS_VERIFY = '1'",
    '$Env:DOCKER_CERT_PATH = $Folder',
    'Remove-Variable Folder',
    '',
  ].join('\r\n');
}

function envCmd(parts: BundleParts): string {
  return [`@set "DOCKER_HOST=${dockerHost(parts)}"`, '@set "DOCKER_TLS_VERIFY=1"', '@set "DOCKER_CERT_PATH=%~dp0"', ''].join('\r\n');
}

function readme(parts: BundleParts): string {
  return `Client bundle of ${parts.account}${parts.cluster === null ? '' : ` for the cluster ${parts.cluster}`}

With these files Docker's clients work through Gantry at ${dockerHost(parts)}.
In this folder:

  bash, zsh            eval "$(<env.sh)"        or: source env.sh
  other shells         . ./env.sh
  PowerShell           . .\\env.ps1
  cmd                  env.cmd
  as a context         docker context import gantry context.zip
                       docker context use gantry

Then: docker version

Whoever has key.pem (it also lies in context.zip) acts in your name. Keep it to
yourself. The certificate is good until ${parts.expiresAt.toISOString()}; renew it by getting a
new bundle. To end it earlier: DELETE /api/v1/me/certificates/${parts.certificateId}
`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
