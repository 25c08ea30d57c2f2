import 'reflect-metadata';
import { spawn, type ChildProcess } from 'node:child_process';
import { webcrypto } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Attribute, Change, Client } from 'ldapts';
import * as x509 from '@peculiar/x509';
import type { DirectorySettings } from '../src/directory';

const binary = '/usr/sbin/slapd';
const base = 'dc=corp,dc=test';
const readerDn = `cn=reader,ou=services,${base}`;
const readerPassword = 'reader-secret-4711';
const rootDn = `cn=root,${base}`;
const rootPassword = 'root-secret-4711';
const password = 'Passw0rd!';

/** A person that a test adds while the server runs. */
export interface TestPerson {
  uid: string;
  password: string;
  cn?: string;
  mail?: string;
}

/**
 * A private OpenLDAP server on loopback with an authority of its own, ldap:// and ldaps:// on 127.0.0.1 and 127.0.0.2; its certificate
 * names `localhost` and 127.0.0.1, not 127.0.0.2. Everybody below `ou=people` has the password `password`.
 */
export interface Slapd {
  port: number;
  tlsPort: number;
  /** The authority of the server's certificate, and one that has nothing to do with it. */
  caPem: string;
  otherCaPem: string;
  base: string;
  readerDn: string;
  readerPassword: string;
  /** The password of everybody in the initial data. */
  password: string;
  /** Settings that work over ldap://, with changes. */
  settings(changes?: Partial<DirectorySettings>): DirectorySettings;
  /** Adds a person below `ou=people`; answers the DN. */
  addPerson(person: TestPerson): Promise<string>;
  setPassword(dn: string, password: string): Promise<void>;
  /** Gives an entry another uid, and so another DN below `ou=people`; its entryUUID stays. Answers the new DN. */
  rename(dn: string, uid: string): Promise<string>;
  remove(dn: string): Promise<void>;
  /** Changes anything, as the server's own administrator. */
  asRoot<T>(work: (client: Client) => Promise<T>): Promise<T>;
  /** Ends the server and keeps its data; `start` brings it back on the same ports. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Ends the server and removes everything. */
  close(): Promise<void>;
}

/** The objectGUID of `uid=ann,ou=ad`, as the bytes that the server stores and as the uuid that they mean (the example of RFC 4122 §3). */
export const annsGuid = { bytes: Buffer.from('ae4f1df8ec7dd011a76500a0c91e6bf6', 'hex'), uuid: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6' };

/** Somebody below `ou=ad` whose password check ends with a result code of RFC 3909, which LDAP libraries have no name for. */
export const unlistedResult = { uid: 'odd', code: 118 };

/** People below `ou=ad` whom the server refuses with Active Directory's diagnostic text: uid and sub-code. */
export const closedPeople = { disabled: '533', expired: '701', mustchange: '773', locked: '775', unknown: '525' } as const;

/** People of the initial data whose names and DNs have characters with a meaning in DNs or filters: uid by description. */
export const oddPeople = {
  apostrophe: "o'brien",
  comma: 'comma',
  stars: 'st*r(1)',
  umlaut: 'jürgen',
  backslash: 'back\\slash',
  plus: 'a+b=c#1',
} as const;

/**
 * Starts a server with its own configuration and data in a temporary directory; nothing of the system's is used but the program.
 * `tls: false` makes one that knows no TLS; `ldif` is loaded besides the initial data; `limits` is a line of slapd.conf(5) for the reader account
 * (`size.hard=100`). Throws when slapd is not installed.
 */
export async function startSlapd(options: { tls?: boolean; ldif?: string; limits?: string } = {}): Promise<Slapd> {
  if (!existsSync(binary))
    throw new Error(`${binary} is missing: run the tests with \`npm test\`, which installs Debian's slapd and ldap-utils.`);
  const tls = options.tls ?? true;
  const directory = await mkdtemp(join(tmpdir(), 'gantry-slapd-'));
  let closed: Server | null = null;
  let process: ChildProcess | null = null;
  try {
    await mkdir(join(directory, 'db'));
    const authority = await makeAuthority('Test directory authority');
    const other = await makeAuthority('Another authority');
    await writeFile(join(directory, 'ca.pem'), authority.pem);
    const leaf = await authority.issue('ldap.corp.test', ['localhost'], ['127.0.0.1']);
    await writeFile(join(directory, 'server.pem'), leaf.certificate);
    await writeFile(join(directory, 'server.key'), leaf.key, { mode: 0o600 });
    const configFile = join(directory, 'slapd.conf');
    await writeFile(configFile, configuration(directory, tls, options.limits ?? 'size=unlimited'), { mode: 0o600 });
    await writeFile(join(directory, 'data.ldif'), `${initialData()}\n${options.ldif ?? ''}`);
    await run('/usr/sbin/slapadd', ['-q', '-f', configFile, '-b', base, '-l', join(directory, 'data.ldif')]);
    closed = await serveClosedAccounts(join(directory, 'closed.sock'));

    const [port, tlsPort] = await freePorts(2);
    const url = `ldap://127.0.0.1:${port}`;
    const hosts = ['127.0.0.1', '127.0.0.2'];
    const listen = hosts.flatMap((host) => [`ldap://${host}:${port}`, ...(tls ? [`ldaps://${host}:${tlsPort}`] : [])]).join(' ');

    const start = async (): Promise<void> => {
      process ??= await launch(configFile, listen, join(directory, 'slapd.log'), url);
    };
    const stop = async (): Promise<void> => {
      const ending = process;
      process = null;
      if (ending !== null) await end(ending);
    };
    const asRoot = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
      const client = new Client({ url, timeout: 5000, connectTimeout: 5000 });
      try {
        await client.bind(rootDn, rootPassword);
        return await work(client);
      } finally {
        await client.unbind();
      }
    };
    await start();

    return {
      port: port!,
      tlsPort: tlsPort!,
      caPem: authority.pem,
      otherCaPem: other.pem,
      base,
      readerDn,
      readerPassword,
      password,
      settings: (changes = {}) => ({
        url,
        startTls: false,
        caPem: null,
        bindDn: readerDn,
        bindPassword: readerPassword,
        searchBase: `ou=people,${base}`,
        usernameAttribute: 'uid',
        filter: null,
        timeoutSeconds: 5,
        ...changes,
      }),
      addPerson: async (person) => {
        const dn = `uid=${person.uid},ou=people,${base}`;
        const cn = person.cn ?? person.uid;
        const entry: Record<string, string> = { objectClass: 'inetOrgPerson', uid: person.uid, cn, sn: cn, userPassword: person.password };
        if (person.mail !== undefined) entry['mail'] = person.mail;
        await asRoot((client) => client.add(dn, entry));
        return dn;
      },
      setPassword: (dn, secret) =>
        asRoot((client) =>
          client.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type: 'userPassword', values: [secret] }) })),
        ),
      rename: async (dn, uid) => {
        await asRoot((client) => client.modifyDN(dn, `uid=${uid}`));
        return `uid=${uid},ou=people,${base}`;
      },
      remove: (dn) => asRoot((client) => client.del(dn)),
      asRoot,
      stop,
      start,
      close: async () => {
        await stop();
        await closeServer(closed);
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    if (process !== null) await end(process);
    await closeServer(closed);
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

function configuration(directory: string, tls: boolean, limits: string): string {
  const encryption = `
TLSCACertificateFile ${directory}/ca.pem
TLSCertificateFile ${directory}/server.pem
TLSCertificateKeyFile ${directory}/server.key
TLSVerifyClient never`;
  // objectGUID as Active Directory defines it; the servers of tests hide entryUUID below ou=ad and ou=blind to resemble it.
  return `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.32473.1.1 NAME 'adLike' AUXILIARY MAY ( objectGUID $ userAccountControl $ accountExpires ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload back_sock
pidfile ${directory}/slapd.pid
argsfile ${directory}/slapd.args
${tls ? encryption : ''}
database mdb
suffix "${base}"
rootdn "${rootDn}"
rootpw ${rootPassword}
directory ${directory}/db
maxsize 268435456
dbnosync
limits dn.exact="${readerDn}" ${limits}
index objectClass,uid,mail,member,entryUUID eq
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=ad,${base}" attrs=entryUUID by * none
access to dn.subtree="ou=blind,${base}" attrs=entryUUID by * none
access to * by dn.exact="${readerDn}" read by anonymous auth by * none
overlay sock
socketpath ${directory}/closed.sock
sockops bind
sockdnpat ^uid=(${[...Object.keys(closedPeople), unlistedResult.uid].join('|')}),ou=ad,
`;
}

function initialData(): string {
  const records: string[] = [];
  const record = (dn: string, attributes: Record<string, string | Buffer | string[]>): void => {
    const lines = Object.entries(attributes).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((v) => line(name, v)));
    records.push([line('dn', dn), ...lines].join('\n'));
  };
  const unit = (name: string, parent = base): void => record(`ou=${name},${parent}`, { objectClass: 'organizationalUnit', ou: name });
  const person = (rdn: string, unitDn: string, uid: string, cn: string, more: Record<string, string | Buffer | string[]> = {}): void =>
    record(`${rdn},${unitDn}`, { objectClass: ['inetOrgPerson'], uid, cn, sn: cn, userPassword: password, ...more });

  record(base, { objectClass: ['dcObject', 'organization'], dc: 'corp', o: 'Corp' });
  for (const name of ['services', 'people', 'twins', 'ad', 'blind']) unit(name);
  record(readerDn, { objectClass: ['organizationalRole', 'simpleSecurityObject'], cn: 'reader', userPassword: readerPassword });

  const people = `ou=people,${base}`;
  person('uid=ann', people, 'ann', 'Ann', { displayName: 'Ann Archer', mail: ['ann@corp.test', 'a.archer@corp.test'] });
  person('uid=bob', people, 'bob', 'Bob Baker');
  person("cn=Pat O'Brien", people, oddPeople.apostrophe, "Pat O'Brien");
  person('cn=Smith\\, John (Ops) *x*', people, oddPeople.comma, 'Smith, John (Ops) *x*');
  person('cn=Star *()', people, oddPeople.stars, 'Star *()');
  person('cn=Jürgen Größe', people, oddPeople.umlaut, 'Jürgen Größe');
  person('cn=Back\\5Cslash User', people, oddPeople.backslash, 'Back\\slash User');
  person('cn=A\\+B\\=C \\#1', people, oddPeople.plus, 'A+B=C #1');
  record(`uid=nopassword,${people}`, { objectClass: 'inetOrgPerson', uid: 'nopassword', cn: 'No password', sn: 'No password' });
  record(`ou=remote,${people}`, {
    objectClass: ['referral', 'extensibleObject'],
    ou: 'remote',
    ref: `ldap://127.0.0.1:1/ou=remote,${people}`,
  });

  for (const name of ['a', 'b']) {
    unit(name, `ou=twins,${base}`);
    person('uid=twin', `ou=${name},ou=twins,${base}`, 'twin', 'Twin');
  }
  const adLike = { objectClass: ['inetOrgPerson', 'adLike'] };
  person('uid=ann', `ou=ad,${base}`, 'ann', 'Ann', { ...adLike, objectGUID: annsGuid.bytes });
  Object.keys(closedPeople).forEach((uid, index) =>
    person(`uid=${uid}`, `ou=ad,${base}`, uid, uid, { ...adLike, objectGUID: Buffer.alloc(16, index + 1) }),
  );
  person(`uid=${unlistedResult.uid}`, `ou=ad,${base}`, unlistedResult.uid, 'Odd', { ...adLike, objectGUID: Buffer.alloc(16, 255) });
  person('uid=ann', `ou=blind,${base}`, 'ann', 'Ann');
  return `${records.join('\n\n')}\n`;
}

function line(name: string, value: string | Buffer): string {
  return `${name}:: ${Buffer.from(value).toString('base64')}`;
}

/** Answers the server's questions about binds below `ou=ad` as Active Directory does (slapd-sock(5) has the form of both). */
async function serveClosedAccounts(path: string): Promise<Server> {
  const server = createServer((socket) => {
    let request = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      request += chunk;
      const uid = /^dn: uid=(\w+),/m.exec(request)?.[1];
      if (uid === undefined || !request.includes('\ncred: ')) return;
      const subCode = closedPeople[uid as keyof typeof closedPeople] ?? '0';
      const code = uid === unlistedResult.uid ? unlistedResult.code : 49;
      socket.end(
        `RESULT\ncode: ${code}\nmatched: \n` +
          `info: 80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data ${subCode}, v1db1\n`,
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}

async function launch(configFile: string, listen: string, logFile: string, url: string): Promise<ChildProcess> {
  const log = await open(logFile, 'a', 0o600);
  // `-d` keeps it in the foreground, as a process of ours.
  const process = spawn(binary, ['-f', configFile, '-h', listen, '-d', 'stats'], { stdio: ['ignore', log.fd, log.fd] });
  await log.close();
  let ended = false;
  process.once('exit', () => (ended = true));
  process.once('error', () => (ended = true));
  const deadline = Date.now() + 120_000;
  for (;;) {
    const client = new Client({ url, timeout: 5_000, connectTimeout: 5_000 });
    try {
      await client.bind(rootDn, rootPassword);
      return process;
    } catch (error) {
      if (!ended && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      if (!ended) await end(process);
      throw new Error(`slapd did not start: ${(await readFile(logFile, 'utf8')).slice(-2000)}`, { cause: error });
    } finally {
      await client.unbind();
    }
  }
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => process.once('exit', () => resolve()));
  process.kill('SIGTERM');
  const impatient = setTimeout(() => process.kill('SIGKILL'), 60_000);
  await exited;
  clearTimeout(impatient);
}

async function closeServer(server: Server | null): Promise<void> {
  if (server !== null) await new Promise<void>((resolve) => server.close(() => resolve()));
}

async function run(file: string, args: string[]): Promise<void> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${file} ended with ${code}: ${output}`);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(closeServer));
  return ports;
}

/** A certificate authority for tests. It issues server certificates for names and addresses, with a key on P-256 or of 2048-bit RSA. */
export async function makeAuthority(name: string) {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const signing = { name: 'ECDSA', hash: 'SHA-256' };
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + 86_400_000);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore,
    notAfter,
    signingAlgorithm: signing,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
  });
  return {
    pem: own.toString('pem'),
    issue: async (commonName: string, names: string[], addresses: string[], kind: 'p256' | 'rsa' = 'p256') => {
      const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
      const leaf = await webcrypto.subtle.generateKey(kind === 'rsa' ? rsa : algorithm, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${commonName}`,
        issuer: own.subject,
        publicKey: leaf.publicKey,
        signingKey: keys.privateKey,
        notBefore,
        notAfter,
        signingAlgorithm: signing,
        extensions: [
          new x509.SubjectAlternativeNameExtension([
            ...names.map((value) => ({ type: 'dns' as const, value })),
            ...addresses.map((value) => ({ type: 'ip' as const, value })),
          ]),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        ],
      });
      const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leaf.privateKey)).toString('base64');
      return {
        certificate: certificate.toString('pem'),
        key: `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}
