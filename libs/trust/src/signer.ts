import { Inject, Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { CONFIG, Db, delay, Leases, Problem, requestProblem, type Config, type Context } from '@gantry/platform';
import { Images, Repositories } from '@gantry/registry';
import { BUNDLE_TYPE, referrersTag } from './formats/bundle-v03';
import { signatureTag, SIMPLE_SIGNING_TYPE } from './formats/cosign-sig';
import { isSha256Digest, sha256Digest } from './formats/evidence';
import type { EvidenceSource } from './formats/evidence';
import { Refusal } from './formats/findings';
import { mergeReferrersIndex, signBundle, signLegacy } from './formats/sign';
import type { Pushable, SigningRequest } from './formats/sign';
import { maxPolicyClaims } from './signature-policies';
import { trustProblem } from './problems';
import { SigningKeys } from './signing-keys';
import { Verdicts } from './verdicts';

/** `cosign-sig`: the tag `sha256-<hex>.sig`, read by every cosign; `bundle`: a Sigstore bundle v0.3 referrer, cosign 3's own form. */
export type SignatureForm = 'cosign-sig' | 'bundle';

/** What is to be signed with which key. */
export interface SignWish {
  /** Id or name of a key that was generated here. */
  keyId: string;
  /** `namespace/name` */
  repository: string;
  digest: string;
  /** Stated beside the digest, as `cosign sign -a` does. */
  claims?: Record<string, string>;
  forms: SignatureForm[];
}

/** What was written. */
export interface Signed {
  repository: string;
  digest: string;
  keyId: string;
  fingerprint: string;
  /** `tag` is where the form has one. */
  signatures: { form: SignatureForm; manifestDigest: string; tag: string | null }[];
}

const leaseSeconds = 60;
const patienceMillis = 10_000;

/** Signs images with keys that are kept here, in forms that stock cosign verifies. */
@Injectable()
export class Signer {
  constructor(
    private readonly db: Db,
    private readonly leases: Leases,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly repositories: Repositories,
    private readonly images: Images,
    private readonly keys: SigningKeys,
    private readonly verdicts: Verdicts,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Signs a digest that the repository holds, and pushes the signatures there. Needs `signing-key:sign` on the key and `repository:push`.
   * Signing the same again adds no second `.sig` signature. Network I/O: never call it inside a transaction.
   * @throws request.not-found, request.forbidden, request.invalid, trust.key-cannot-sign, trust.image-unknown, trust.signing-busy,
   * trust.signatures-unreadable, registry.backend-unavailable
   */
  async sign(ctx: Context, wish: SignWish): Promise<Signed> {
    if (ctx.tx) throw new Error('a registry is never written inside a transaction');
    checkWish(wish);
    const key = await this.keys.get(ctx, wish.keyId);
    this.access.assertCan(ctx, 'signing-key:sign', this.keys.ref(key));
    const repository = await this.repositories.get(ctx, wish.repository);
    this.access.assertCan(ctx, 'repository:push', this.repositories.ref(repository));
    const signingKey = await this.keys.openPrivate(ctx, key.id);
    const { path } = repository;
    const detail = { digest: wish.digest, key: key.name, fingerprint: key.fingerprint, forms: wish.forms, claims: wish.claims ?? {} };
    const entry = { action: 'image.sign', resource: { kind: 'repository', id: repository.id, name: path } };
    try {
      const image = await this.images.evidence(path).manifestByDigest(wish.digest);
      if (image === null) throw trustProblem('image-unknown');
      if (sha256Digest(image.bytes) !== wish.digest) throw new Error(`the registry serves other content for ${wish.digest} of ${path}`);
      const request: SigningRequest = {
        image: { digest: wish.digest, mediaType: image.mediaType, sizeBytes: image.bytes.length },
        dockerReference: `${this.config.registryPublicHost}/${path}`,
        key: signingKey,
        ...(wish.claims === undefined ? {} : { claims: wish.claims }),
      };
      const signatures: Signed['signatures'] = [];
      const payloads: string[] = [];
      for (const form of new Set(wish.forms)) {
        const pushed = form === 'cosign-sig' ? await this.pushLegacy(ctx, path, request) : await this.pushBundle(ctx, path, request);
        signatures.push({ form, manifestDigest: pushed.manifest.digest, tag: pushed.tag });
        payloads.push(...pushed.blobs.filter((blob) => blob.mediaType === SIMPLE_SIGNING_TYPE || blob.mediaType === BUNDLE_TYPE).map((blob) => blob.digest));
      }
      await this.db.transaction(ctx, async (tx) => {
        if (payloads.length > 0) await this.verdicts.noteSigned(tx, wish.digest, payloads, key.fingerprint);
        await this.audit.record(tx, { ...entry, outcome: 'success', detail });
      });
      return { repository: path, digest: wish.digest, keyId: key.id, fingerprint: key.fingerprint, signatures };
    } catch (error) {
      await this.audit.record(ctx, { ...entry, outcome: 'failed', detail: { ...detail, code: error instanceof Problem ? error.code : 'internal' } });
      throw error;
    }
  }

  /** Tags know no compare-and-swap: whoever writes a `.sig` tag here holds the image's lease while reading and writing it. */
  private async pushLegacy(ctx: Context, path: string, request: SigningRequest): Promise<Pushable> {
    const tag = signatureTag(request.image.digest);
    return this.alone(ctx, `trust.signatures:${path}@${request.image.digest}`, async (assertHeld) => {
      const existing = await this.images.evidence(path).manifestByTag(tag);
      const pushable = appended(() => signLegacy(request, existing?.bytes ?? null));
      if (pushable.manifest.digest !== existing?.digest) await this.push(ctx, path, pushable, assertHeld);
      return pushable;
    });
  }

  private async pushBundle(ctx: Context, path: string, request: SigningRequest): Promise<Pushable> {
    const { digest } = request.image;
    const bundle = signBundle(request);
    await this.push(ctx, path, bundle);
    const source: EvidenceSource = this.images.evidence(path);
    const listed = await source.referrers(digest);
    if (listed.some((referrer) => referrer.digest === bundle.manifest.digest)) return bundle;
    await this.alone(ctx, `trust.signatures:${path}@${digest}`, async (assertHeld) => {
      const existing = await source.manifestByTag(referrersTag(digest));
      const index = appended(() => mergeReferrersIndex(digest, bundle, existing?.bytes ?? null));
      if (index !== null) await this.push(ctx, path, index, assertHeld);
      return true;
    });
    return bundle;
  }

  private async push(ctx: Context, path: string, pushable: Pushable, assertHeld: () => Promise<void> = async () => undefined): Promise<void> {
    await Promise.all(pushable.blobs.map((blob) => this.images.pushBlob(ctx, path, blob.bytes)));
    await assertHeld();
    await this.images.pushManifest(ctx, path, pushable.tag, pushable.manifest.mediaType, pushable.manifest.bytes);
  }

  private async alone<T extends object | true>(ctx: Context, name: string, work: (assertHeld: () => Promise<void>) => Promise<T>): Promise<T> {
    const deadline = Date.now() + patienceMillis;
    for (;;) {
      const result = await this.leases.withLease(ctx, name, leaseSeconds, (lease) => work(() => lease.assertHeld(ctx)));
      if (result !== null) return result;
      if (Date.now() > deadline) throw trustProblem('signing-busy', { headers: { 'retry-after': '2' } });
      await delay(50);
    }
  }
}

function checkWish({ digest, forms, claims }: SignWish): void {
  const stated = Object.entries(claims ?? {});
  const wrong = stated.length > maxPolicyClaims || stated.some(([claim, value]) => claim.length === 0 || claim.length > 128 || value.length > 1_024);
  const errors = [
    ...(isSha256Digest(digest) ? [] : [{ pointer: '/digest', detail: 'sha256: and 64 lower-case hex digits' }]),
    ...(forms.length > 0 ? [] : [{ pointer: '/forms', detail: 'name at least one form' }]),
    ...(wrong ? [{ pointer: '/claims', detail: `at most ${maxPolicyClaims} claims, names of 1 to 128 and values of at most 1024 characters` }] : []),
  ];
  if (errors.length > 0) throw requestProblem('invalid', { errors });
}

/** Runs what may find something else than signatures where they belong. */
function appended<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof Refusal) throw trustProblem('signatures-unreadable', { detail: `What lies there can’t be appended to: ${error.message}.`, cause: error });
    throw error;
  }
}
