import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Access } from '@gantry/access';
import { Images, Repositories } from '@gantry/registry';
import { Signer, SigningKeys, trustProblem } from '@gantry/trust';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, name, page, Route, time, type Input } from '../http/route';
import { claims, digest, repositoryPath } from './shapes';

const status = z.enum(['active', 'retired', 'revoked']);
const reason = z.string().min(1).max(500);
const keyParams = z.strictObject({ key: idOrName });
const keyQuery = page.extend({ account: idOrName.optional(), status: status.optional() });
const newKey = z
  .strictObject({
    name,
    account: idOrName.describe('the user or organization whose key it is'),
    publicKeyPem: z.string().min(1).max(16_384).optional().describe('one PEM block `PUBLIC KEY`: P-256, P-384, Ed25519 or RSA'),
    generate: z.literal(true).optional().describe('make a P-256 key pair here and keep the private half sealed'),
  })
  .refine((body) => (body.publicKeyPem === undefined) !== (body.generate === undefined), { path: ['publicKeyPem'], message: 'send either publicKeyPem or generate' });
const keyChange = z.strictObject({ name: name.optional(), status: status.optional(), reason: reason.optional().describe('required with a change of status') });
const signingKey = z.object({
  id: z.string(),
  name: z.string(),
  accountId: z.string(),
  fingerprint: z.string().describe('hex SHA-256 of the public key’s SPKI DER'),
  algorithm: z.string(),
  publicKeyPem: z.string(),
  canSign: z.boolean().describe('whether Gantry keeps the private half'),
  status,
  retiredAt: time.nullable(),
  revokedAt: time.nullable(),
  reason: z.string().nullable(),
  createdAt: time,
  version: z.number().int(),
});
const form = z.enum(['cosign-sig', 'bundle']);
const newSignature = z
  .strictObject({
    repository: repositoryPath,
    digest: digest.optional(),
    tag: z.string().min(1).max(128).optional(),
    claims: claims.optional().describe('stated beside the digest, as `cosign sign -a` does'),
    forms: z.array(form).min(1).max(2).default(['cosign-sig', 'bundle']),
  })
  .refine((body) => (body.digest === undefined) !== (body.tag === undefined), { path: ['digest'], message: 'send either digest or tag' });
const signed = z.object({
  repository: z.string(),
  digest: z.string(),
  keyId: z.string(),
  fingerprint: z.string(),
  signatures: z.array(z.object({ form, manifestDigest: z.string(), tag: z.string().nullable() })),
});
const key = { kind: 'signing-key', param: 'key' } as const;

/** Signing keys: who may sign, and signing with keys that are kept here. */
@Controller('api/v1/signing-keys')
export class SigningKeysController {
  constructor(
    @Inject(SigningKeys) private readonly keys: SigningKeys,
    @Inject(Signer) private readonly signer: Signer,
    @Inject(Repositories) private readonly repositories: Repositories,
    @Inject(Images) private readonly images: Images,
    @Inject(Access) private readonly access: Access,
    @Inject(Resources) private readonly resources: Resources,
  ) {
    resources.register('signing-key', (ctx, value) => keys.findRef(ctx, value));
  }

  @Route({ method: 'GET', summary: 'List signing keys', description: 'By name; `account` and `status` narrow.', operation: 'signing-key:view', scope: 'each', query: keyQuery, response: listOf(signingKey) })
  async list(@In() { ctx, query }: Input<unknown, z.output<typeof keyQuery>>): Promise<unknown> {
    const { account, ...rest } = query;
    if (account === undefined) return this.keys.list(ctx, rest);
    const owner = await this.resources.find(ctx, 'account', account);
    return owner === null ? { items: [], next: null } : this.keys.list(ctx, { ...rest, account: owner.id });
  }

  @Route({
    method: 'POST', summary: 'Enrol or generate a signing key', description: 'A public key counts for one owner in the whole system. Private keys are never uploaded or shown.',
    operation: 'signing-key:create', scope: { kind: 'account', field: 'account' }, body: newKey, response: signingKey, audit: 'signing-key.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newKey>>): Promise<unknown> {
    const { name: keyName, account, publicKeyPem } = body;
    return publicKeyPem === undefined ? this.keys.generate(ctx, { name: keyName, account }) : this.keys.create(ctx, { name: keyName, account, publicKeyPem });
  }

  @Route({ method: 'GET', path: ':key', summary: 'Get a signing key', operation: 'signing-key:view', scope: key, params: keyParams, response: signingKey })
  get(@In() { ctx, params }: Input<z.output<typeof keyParams>>): Promise<unknown> {
    return this.keys.get(ctx, params.key);
  }

  @Route({
    method: 'PATCH', path: ':key', summary: 'Rename, retire or revoke a signing key',
    description: 'A retired key counts for signatures first seen before; a revoked one for none, at once. There is no way back, and a private half kept here is destroyed.',
    operation: 'signing-key:update', scope: key, params: keyParams, body: keyChange, response: signingKey, ifMatch: true, audit: 'signing-key.update',
  })
  update(@In() { ctx, params, body, version }: Input<z.output<typeof keyParams>, unknown, z.output<typeof keyChange>>): Promise<unknown> {
    return this.keys.update(ctx, params.key, version, body);
  }

  @Route({
    method: 'DELETE', path: ':key', summary: 'Delete an active signing key that no policy names',
    operation: 'signing-key:delete', scope: key, params: keyParams, ifMatch: true, audit: 'signing-key.delete',
  })
  async delete(@In() { ctx, params, version }: Input<z.output<typeof keyParams>>): Promise<void> {
    await this.keys.delete(ctx, params.key, version);
  }

  @Route({
    method: 'POST', path: ':key/signatures', summary: 'Sign an image with a key that is kept here',
    description: 'Writes the `.sig` tag and the Sigstore bundle that stock cosign verifies. Needs `repository:push` on the repository too.',
    operation: 'signing-key:sign', scope: key, params: keyParams, body: newSignature, response: signed, audit: 'image.sign',
  })
  async sign(@In() { ctx, params, body }: Input<z.output<typeof keyParams>, unknown, z.output<typeof newSignature>>): Promise<unknown> {
    const { repository: path, claims: stated, forms } = body;
    const repository = await this.repositories.get(ctx, path);
    this.access.assertCan(ctx, 'repository:push', this.repositories.ref(repository));
    const image = await this.images.resolve(ctx, path, body.digest ?? body.tag ?? '');
    if (image === null) throw trustProblem('image-unknown');
    return this.signer.sign(ctx, { keyId: params.key, repository: path, digest: image.digest, forms, ...(stated === undefined ? {} : { claims: stated }) });
  }
}
