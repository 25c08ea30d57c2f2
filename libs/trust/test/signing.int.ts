import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectSignatures } from '../src/formats/collect';
import { signatureTag } from '../src/formats/cosign-sig';
import { exportCosignPrivateKey, generateSigningKey, parseSigningKey, trustKey } from '../src/formats/keys';
import { mergeReferrersIndex, signBundle, signLegacy } from '../src/formats/sign';
import type { SigningRequest } from '../src/formats/sign';
import { COSIGN_PINS, Cosign, RegistryRepository, findRegistryProgram, findTool, pushTestImage, startScratchRegistry } from '../testing';
import type { ScratchRegistry, TestImage } from '../testing';

// Real cosign judges what our signer writes, on a real registry; and our verifier judges what cosign writes with a key of ours.
describe('our signatures before real cosign', () => {
  const alice = generateSigningKey();
  const bob = generateSigningKey();
  const keys = [trustKey(alice.publicKeyPem), trustKey(bob.publicKeyPem)];
  const cosigns = new Map<string, Cosign>();
  let registry: ScratchRegistry;
  let work: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'gantry-signing-'));
    const program = await findRegistryProgram();
    if (program === null) throw new Error('no registry program: install docker-registry');
    registry = await startScratchRegistry(program.path);
    await writeFile(join(work, 'alice.pub'), alice.publicKeyPem);
    await writeFile(join(work, 'bob.pub'), bob.publicKeyPem);
    for (const pin of COSIGN_PINS) {
      const tool = await findTool(pin);
      if (tool === null) continue;
      const home = join(work, pin.version);
      await mkdir(home);
      cosigns.set(pin.version, new Cosign(tool, home, 'pass'));
    }
  }, 300_000);

  afterAll(async () => {
    await registry?.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** The cosign of this version, or null after saying loudly that Debian no longer has it. */
  function cosignOf(version: string): Cosign | null {
    const cosign = cosigns.get(version) ?? null;
    if (cosign === null)
      process.stderr.write(`\n*** NOT VERIFIED: cosign ${version} is no longer in the Debian archive; update COSIGN_PINS ***\n\n`);
    return cosign;
  }

  interface Subject {
    repository: RegistryRepository;
    image: TestImage;
    reference: string;
    request(key: typeof alice, claims?: Record<string, string>): SigningRequest;
  }

  async function newImage(name: string): Promise<Subject> {
    const repository = new RegistryRepository(registry.host, name);
    const image = await pushTestImage(repository, name, 'v1');
    const dockerReference = `${registry.host}/${name}`;
    const request = (key: typeof alice, claims?: Record<string, string>): SigningRequest => ({
      image,
      dockerReference,
      key: parseSigningKey(key.privateKeyPem),
      ...(claims === undefined ? {} : { claims }),
    });
    return { repository, image, reference: `${dockerReference}@${image.digest}`, request };
  }

  /** Pushes a bundle and, as every client must on this registry, the index that lists it. */
  async function pushBundle({ repository, image }: Subject, request: SigningRequest): Promise<void> {
    const bundle = signBundle(request);
    await repository.push(bundle);
    const existing = await repository.manifestByTag(image.digest.replace(':', '-'));
    const index = mergeReferrersIndex(image.digest, bundle, existing?.bytes ?? null);
    if (index !== null) await repository.push(index);
  }

  const keyFile = (name: string): string => join(work, `${name}.pub`);
  const versions = COSIGN_PINS.map((pin) => [pin.version] as const);

  it('is run with at least one cosign', () => {
    expect(cosigns.size).toBeGreaterThan(0);
  });

  it.each(versions)('cosign %s takes our .sig, its claims, and a second signer appended', async (version) => {
    const cosign = cosignOf(version);
    if (cosign === null) return;
    const subject = await newImage(`sig-${version}`);
    const { repository, image, reference, request } = subject;
    expect(await cosign.verifies(reference, keyFile('alice'))).toBe(false);
    const first = signLegacy(request(alice, { env: 'prod' }));
    await repository.push(first);
    expect(await cosign.verifies(reference, keyFile('alice'), { env: 'prod' })).toBe(true);
    expect(await cosign.verifies(reference, keyFile('alice'), { env: 'dev' })).toBe(false);
    expect(await cosign.verifies(reference, keyFile('bob'))).toBe(false);
    const existing = await repository.manifestByTag(signatureTag(image.digest));
    await repository.push(signLegacy(request(bob), existing?.bytes ?? null));
    expect(await cosign.verifies(reference, keyFile('alice'))).toBe(true);
    expect(await cosign.verifies(reference, keyFile('bob'))).toBe(true);
    expect((await collectSignatures(repository, image.digest, keys)).map((finding) => finding.ok)).toEqual([true, true]);
  });

  it('cosign 3.1.1 takes our bundle, its claims, and a second signer', async () => {
    const cosign = cosignOf('3.1.1');
    if (cosign === null) return;
    const subject = await newImage('bundle');
    const { repository, image, reference, request } = subject;
    await pushBundle(subject, request(alice, { env: 'prod' }));
    expect(await cosign.verifies(reference, keyFile('alice'), { env: 'prod' })).toBe(true);
    expect(await cosign.verifies(reference, keyFile('alice'), { env: 'dev' })).toBe(false);
    expect(await cosign.verifies(reference, keyFile('bob'))).toBe(false);
    await pushBundle(subject, request(bob));
    expect(await cosign.verifies(reference, keyFile('alice'))).toBe(true);
    expect(await cosign.verifies(reference, keyFile('bob'))).toBe(true);
    expect((await collectSignatures(repository, image.digest, keys)).map((finding) => finding.ok)).toEqual([true, true]);
  });

  it.each(versions)('cosign %s signs with a key that we made and sealed, next to our signatures', async (version) => {
    const cosign = cosignOf(version);
    if (cosign === null) return;
    const subject = await newImage(`sealed-${version}`);
    const { repository, image, reference, request } = subject;
    await repository.push(signLegacy(request(alice)));
    await pushBundle(subject, request(alice));
    const sealed = join(work, version, 'bob.key');
    await writeFile(sealed, await exportCosignPrivateKey(parseSigningKey(bob.privateKeyPem), 'pass'), { mode: 0o600 });
    if (version.startsWith('2.')) {
      await cosign.must(['sign', '--tlog-upload=false', '--yes', '--key', sealed, reference]);
    } else {
      const config = join(work, version, 'none.json');
      await writeFile(config, await cosign.must(['signing-config', 'create']));
      await cosign.must(['sign', '--signing-config', config, '--yes', '--key', sealed, reference]);
    }
    const findings = await collectSignatures(repository, image.digest, keys);
    const signers = findings.map((finding) => finding.ok && finding.keyFingerprint);
    expect(signers.sort()).toEqual([alice, alice, bob].map((key) => key.publicKey.fingerprint).sort());
  });
});
