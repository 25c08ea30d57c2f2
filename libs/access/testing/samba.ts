import 'reflect-metadata';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'ldapts';
import type { DirectorySettings } from '../src/directory';
import { makeAuthority } from './slapd';

const binary = '/usr/sbin/samba';
const realm = 'AD.CORP.TEST';
const base = 'DC=ad,DC=corp,DC=test';
const adminPassword = 'Adm1n-Passw0rd';
const password = 'Passw0rd!';
const host = 'dc1';

/** A person of the domain. Without `password` they can't sign in (setting one takes 20 ms). */
export interface DomainPerson {
  name: string;
  cn: string;
  password?: boolean;
  userAccountControl?: number;
  accountExpires?: string;
}

/** A group of the domain: people and groups by their index; a group may contain itself and make cycles. */
export interface DomainGroup {
  name: string;
  people: number[];
  groups: number[];
}

/** A real Active Directory domain controller (Samba) in a network namespace of its own, with LDAPS by an authority of its own. */
export interface Samba {
  base: string;
  peopleBase: string;
  groupsBase: string;
  /** The password of everybody who has one. */
  password: string;
  /** Settings that work, with changes. */
  settings(changes?: Partial<DirectorySettings>): DirectorySettings;
  groupDn(group: number): string;
  /** Changes anything, as the domain's administrator. */
  asAdmin<T>(work: (client: Client) => Promise<T>): Promise<T>;
  /** Ends the server, and removes its files and its network. */
  close(): Promise<void>;
}

/** Whether this machine can run one: Debian's samba-ad-dc and samba-ad-provision are there, and this process may make network namespaces. */
export function canRunSamba(): boolean {
  return process.getuid?.() === 0 && [binary, '/usr/bin/samba-tool', '/usr/bin/python3', '/usr/share/samba/setup/provision.ldif'].every((file) => existsSync(file));
}

/**
 * Makes a domain, loads people and groups, and starts it: some ten seconds for two thousand people. Nothing of the system's is used but the programs;
 * what has to lie in /etc/netns is removed by `close`.
 */
export async function startSamba(data: { people: DomainPerson[]; groups: DomainGroup[] }): Promise<Samba> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-samba-'));
  const namespace = `gantry-ad-${process.pid}`;
  const outer = `gad${process.pid % 100_000}`;
  const { inside, outside } = freeAddresses();
  const etc = `/etc/netns/${namespace}`;
  const inNamespace = (argv: string[]): string[] => ['netns', 'exec', namespace, ...argv];
  let server: ChildProcess | null = null;

  const close = async (): Promise<void> => {
    if (server !== null) await end(server);
    server = null;
    await run('ip', ['netns', 'del', namespace]).catch(() => undefined);
    await run('ip', ['link', 'del', outer]).catch(() => undefined);
    await rm(etc, { recursive: true, force: true });
    if ((await readdir('/etc/netns').catch(() => ['some'])).length === 0) await rm('/etc/netns', { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (const name of ['etc', 'private', 'state', 'cache', 'lock', 'run', 'log', 'ncalrpc']) await mkdir(join(directory, name));
    await run('ip', ['netns', 'add', namespace]);
    await run('ip', ['link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]);
    await run('ip', ['addr', 'add', `${outside}/30`, 'dev', outer]);
    await run('ip', ['link', 'set', outer, 'up']);
    await run('ip', ['-n', namespace, 'addr', 'add', `${inside}/30`, 'dev', 'eth0']);
    for (const device of ['eth0', 'lo']) await run('ip', ['-n', namespace, 'link', 'set', device, 'up']);
    await mkdir(etc, { recursive: true });
    await writeFile(join(etc, 'resolv.conf'), `nameserver ${inside}\n`);
    await writeFile(join(etc, 'hosts'), `127.0.0.1 localhost\n${inside} ${host}.${realm.toLowerCase()} ${host}\n`);

    const authority = await makeAuthority('Test domain authority');
    const leaf = await authority.issue(`${host}.${realm.toLowerCase()}`, [`${host}.${realm.toLowerCase()}`], [inside], 'rsa');
    await writeFile(join(directory, 'ca.pem'), authority.pem);
    await writeFile(join(directory, 'cert.pem'), leaf.certificate);
    await writeFile(join(directory, 'key.pem'), leaf.key, { mode: 0o600 });
    // An empty file to begin from keeps the system's own shares and paths out.
    await writeFile(join(directory, 'base.conf'), '');
    const options = [
      ...['private', 'state', 'cache', 'lock'].map((name) => `${name}${name === 'private' ? ' dir' : ' directory'}=${join(directory, name)}`), `pid directory=${join(directory, 'run')}`,
      `binddns dir=${join(directory, 'dns')}`, `ncalrpc dir=${join(directory, 'ncalrpc')}`, `log file=${join(directory, 'log/%m.log')}`, `ntp signd socket directory=${join(directory, 'ntp')}`,
      `winbindd socket directory=${join(directory, 'run/winbindd')}`, 'interfaces=lo eth0', 'bind interfaces only=yes', 'server services=ldap, kdc, cldap, rpc', 'tls enabled=yes',
      `tls keyfile=${join(directory, 'key.pem')}`, `tls certfile=${join(directory, 'cert.pem')}`, `tls cafile=${join(directory, 'ca.pem')}`, 'dns forwarder=',
    ].map((option) => `--option=${option}`);
    const domain = join(directory, 'dc');
    await run('ip', inNamespace([
      'samba-tool', 'domain', 'provision', `--configfile=${join(directory, 'base.conf')}`, '--server-role=dc', '--use-rfc2307', `--realm=${realm}`, '--domain=ADCORP', `--host-name=${host}`,
      `--host-ip=${inside}`, `--adminpass=${adminPassword}`, '--dns-backend=SAMBA_INTERNAL', `--targetdir=${domain}`, ...options,
    ]));
    const configuration = join(domain, 'etc/smb.conf');
    await writeFile(join(directory, 'load.py'), loader);
    await writeFile(join(directory, 'data.json'), JSON.stringify({ ...data, password }));
    await run('/usr/bin/python3', [join(directory, 'load.py'), configuration, join(directory, 'data.json')]);

    const log = await open(join(directory, 'samba.log'), 'a', 0o600);
    server = spawn('ip', inNamespace([binary, '-i', '-M', 'single', '--no-process-group', '-s', configuration]), { stdio: ['ignore', log.fd, log.fd] });
    await log.close();
    const settings: Samba['settings'] = (changes = {}) => ({
      url: `ldaps://${inside}`, startTls: false, caPem: authority.pem, bindDn: `CN=Administrator,CN=Users,${base}`, bindPassword: adminPassword, searchBase: `OU=People,${base}`,
      usernameAttribute: 'sAMAccountName', filter: '(objectClass=user)', timeoutSeconds: 30, ...changes,
    });
    const asAdmin: Samba['asAdmin'] = async (work) => {
      const client = new Client({ url: `ldaps://${inside}`, timeout: 60_000, connectTimeout: 10_000, tlsOptions: { ca: authority.pem } });
      try {
        await client.bind(settings().bindDn, adminPassword);
        return await work(client);
      } finally {
        await client.unbind();
      }
    };
    const deadline = Date.now() + 180_000;
    for (;;) {
      const answer = await asAdmin(() => Promise.resolve(null)).catch((error: unknown) => error);
      if (answer === null) break;
      if (Date.now() > deadline || server.exitCode !== null) throw new Error(`samba did not start: ${(await readFile(join(directory, 'samba.log'), 'utf8')).slice(-2000)}`, { cause: answer });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return { base, peopleBase: `OU=People,${base}`, groupsBase: `OU=Teams,${base}`, password, settings, groupDn: (group) => `CN=${data.groups[group]!.name},OU=Teams,${base}`, asAdmin, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Writes straight into the domain's database, in one transaction: over LDAP it would take minutes. */
const loader = `
import json, sys, ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

lp = LoadParm()
lp.load(sys.argv[1])
data = json.load(open(sys.argv[2]))
db = SamDB(session_info=system_session(), lp=lp)
base = str(db.domain_dn())

def below(unit, name):
    dn = ldb.Dn(db, "OU=%s,%s" % (unit, base))
    dn.add_child(ldb.Dn(db, "CN=x"))
    dn.set_component(0, "CN", name)
    return dn

db.set_minPwdLength(6)
db.transaction_start()
for unit in ("People", "Teams"):
    db.add({"dn": "OU=%s,%s" % (unit, base), "objectClass": "organizationalUnit"})
people = []
for person in data["people"]:
    dn = below("People", person["cn"])
    entry = ldb.Message(dn)
    control = person.get("userAccountControl", 512)
    fields = {
        "objectClass": "user", "sAMAccountName": person["name"], "displayName": person["cn"], "mail": person["name"] + "@corp.test",
        "userAccountControl": str(control if person.get("password") else control | 32),
    }
    if "accountExpires" in person:
        fields["accountExpires"] = person["accountExpires"]
    for key, value in fields.items():
        entry[key] = value
    if person.get("password"):
        entry["unicodePwd"] = ldb.MessageElement(('"%s"' % data["password"]).encode("utf-16-le"), ldb.FLAG_MOD_ADD, "unicodePwd")
    db.add(entry)
    people.append(dn)
groups = [below("Teams", group["name"]) for group in data["groups"]]
for dn, group in zip(groups, data["groups"]):
    db.add({"dn": str(dn), "objectClass": "group", "sAMAccountName": group["name"]})
for dn, group in zip(groups, data["groups"]):
    members = [str(people[index]) for index in group["people"]] + [str(groups[index]) for index in group["groups"]]
    if members:
        change = ldb.Message(dn)
        change["member"] = ldb.MessageElement(members, ldb.FLAG_MOD_ADD, "member")
        db.modify(change)
db.transaction_commit()
`;

/** Two addresses of a network of four that nobody here uses. */
function freeAddresses(): { inside: string; outside: string } {
  const used = new Set(Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address.split('.').slice(0, 3).join('.'))));
  for (let third = process.pid % 250; ; third = (third + 1) % 250) {
    if (!used.has(`10.249.${third}`)) return { outside: `10.249.${third}.1`, inside: `10.249.${third}.2` };
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const impatient = setTimeout(() => child.kill('SIGKILL'), 60_000);
  await exited;
  clearTimeout(impatient);
}

async function run(file: string, argv: string[]): Promise<void> {
  const child = spawn(file, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${file} ${argv.slice(0, 5).join(' ')} ended with ${code}: ${output.slice(-2000)}`);
}
