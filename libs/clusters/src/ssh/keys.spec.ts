import { createHash, generateKeyPairSync } from 'node:crypto';
import { utils } from 'ssh2';
import { algorithmsFor, checkPrivateKey, describeBlob, fingerprint, parseHostKey, parseSshAddress, sshAddressForm, writeHostKey } from './keys';

const ed25519 = utils.generateKeyPairSync('ed25519');
const ecdsa = utils.generateKeyPairSync('ecdsa', { bits: 384 });

describe('parseSshAddress', () => {
  it.each([
    ['ssh://ops@10.0.0.5', { user: 'ops', host: '10.0.0.5', port: 22, path: '/var/run/docker.sock' }],
    ['ssh://ops@swarm.example.com:2222/run/user/1000/docker.sock', { user: 'ops', host: 'swarm.example.com', port: 2222, path: '/run/user/1000/docker.sock' }],
    ['ssh://ops@[fd00::5]:22/', { user: 'ops', host: 'fd00::5', port: 22, path: '/var/run/docker.sock' }],
  ])('reads %s', (address, target) => {
    expect(parseSshAddress(address)).toEqual(target);
  });

  it.each([
    'ssh://10.0.0.5', 'ssh://ops:password@10.0.0.5', 'SSH://ops@host', 'tcp://ops@host', 'ssh://ops@host:0', 'ssh://ops@host:65536', 'ssh://ops@host:22:23', 'ssh://ops@/x', 'ssh://-oProxyCommand=x@host', 'ssh://ops@-host',
    'ssh://ops@host/a%2e', 'ssh://ops@host/a?b', 'ssh://ops@host/a#b', 'ssh://ops@host/a b', 'ssh://ops@host/a\n', 'ssh://ops@host\n', `ssh://ops@host/${'a'.repeat(107)}`, 'ssh://o s@host', 'ssh://ops@host/a\0',
  ])('takes %j for none', (address) => {
    expect(parseSshAddress(address)).toBeNull();
    expect(sshAddressForm.test(address) && !/65536/.test(address)).toBe(false);
  });
});

describe('parseHostKey', () => {
  it('reads lines of .pub files and of known_hosts, and writes what is kept', () => {
    const [type, text] = ed25519.public.split(' ');
    const kept = `${type} ${text}`;
    for (const line of [kept, `${kept} root@host`, `  ${kept}\n`, `host.example.com,10.0.0.5 ${kept}`, `[host]:2222 ${kept} a comment`]) expect(writeHostKey(parseHostKey(line))).toBe(kept);
    expect(parseHostKey(ecdsa.public).type).toBe('ecdsa-sha2-nistp384');
  });

  it('says the fingerprint by the rule of ssh-keygen', () => {
    const { blob } = parseHostKey(ed25519.public);
    expect(fingerprint(blob)).toBe(`SHA256:${createHash('sha256').update(Buffer.from(ed25519.public.split(' ')[1]!, 'base64')).digest('base64').replace('=', '')}`);
    expect(describeBlob(blob)).toBe(`${fingerprint(blob)} (ssh-ed25519)`);
    expect(describeBlob(Buffer.from('x'))).toContain('of no known type');
  });

  const rsa = (bits: number): string => utils.generateKeyPairSync('rsa', { bits }).public;
  it.each([
    ['', 'not a public key'], ['ssh-ed25519', 'not a public key'], ['ssh-ed25519 AAAA', 'not a key of type'], ['ssh-dss AAAAB3NzaC1kc3M=', 'ssh-dss are not taken'], ['@revoked * ssh-ed25519 AAAA', 'not a public key'],
    [`ssh-ed25519 ${ecdsa.public.split(' ')[1]}`, 'not a key of type'], [`${ed25519.public}\n${ed25519.public}`, 'not a public key'], ['SHA256:abc', 'not a public key'], [ed25519.private, 'not a public key'],
  ])('refuses %j', (line, why) => {
    expect(() => parseHostKey(line)).toThrow(why);
  });

  it('takes RSA keys that are long enough, signed by SHA-2 alone', () => {
    expect(() => parseHostKey(rsa(1024))).toThrow('at least 2048');
    const known = parseHostKey(rsa(2048));
    expect(algorithmsFor(known).slice(0, 2)).toEqual(['rsa-sha2-512', 'rsa-sha2-256']);
  });

  it('asks a host for the key that is known, and never by old algorithms', () => {
    expect(algorithmsFor(parseHostKey(ecdsa.public))[0]).toBe('ecdsa-sha2-nistp384');
    expect(algorithmsFor(null)[0]).toBe('ssh-ed25519');
    expect(algorithmsFor(null).filter((name) => /^ssh-(rsa|dss)$/.test(name))).toEqual([]);
  });
});

describe('checkPrivateKey', () => {
  it('takes what ssh-keygen makes', () => {
    for (const { private: text } of [ed25519, ecdsa]) expect(() => checkPrivateKey(text)).not.toThrow();
  });

  it.each([
    ['nothing', () => '', 'not a private key'],
    ['a public key', () => ed25519.public, 'a public key'],
    ['an RSA key', () => generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } }).privateKey, 'only Ed25519 and ECDSA'],
    ['an encrypted key', () => utils.generateKeyPairSync('ed25519', { passphrase: 'x', cipher: 'aes256-ctr', rounds: 1 }).private, 'encrypted'],
  ])('refuses %s', (_what, make, why) => {
    expect(() => checkPrivateKey(make())).toThrow(why);
  });
});
