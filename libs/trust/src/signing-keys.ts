import { Injectable } from '@nestjs/common';
import { Access, Accounts, inScope, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUniqueViolation, isUuid, requestProblem, Sealer, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { EnrolledKey } from './entities';
import { generateSigningKey, KeyFormatError, parsePublicKey, parseSigningKey } from './formats/keys';
import type { KeyStatus, SigningKey, VerificationKey } from './formats/keys';
import { trustProblem } from './problems';

/** Names of signing keys and signature policies, unique each over the system. */
export const trustName = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

/** Sealing purpose of private keys. */
const sealPurpose = 'trust.signing-key';

/** Where a key may go from where it is. */
const nextStatus: Record<KeyStatus, readonly KeyStatus[]> = { active: ['retired', 'revoked'], retired: ['revoked'], revoked: [] };

/** Signing keys: whose they are and how far they are believed. The private half is here only for keys that were generated here. */
@Injectable()
export class SigningKeys {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly audit: Audit,
    private readonly sealer: Sealer,
  ) {}

  /** The key as something to judge rights on. */
  ref(key: Pick<EnrolledKey, 'id' | 'accountId'>): ResourceRef {
    return { kind: 'signing-key', id: key.id, parent: { kind: 'account', id: key.accountId } };
  }

  /**
   * Enrols a public key (SPKI PEM) for an account (id or name). Whoever may do that is believed to hold the private half: no proof is asked.
   * @throws request.not-found, request.forbidden, request.name-taken, trust.key-invalid, trust.key-known
   */
  async create(ctx: Context, input: { name: string; account: string; publicKeyPem: string }): Promise<EnrolledKey> {
    let key: VerificationKey;
    try {
      key = parsePublicKey(input.publicKeyPem);
    } catch (error) {
      if (!(error instanceof KeyFormatError)) throw error;
      throw trustProblem('key-invalid', { errors: [{ pointer: '/publicKeyPem', detail: error.message }], cause: error });
    }
    return this.enrol(ctx, input, key, null);
  }

  /**
   * Makes a P-256 key pair for an account (id or name) and keeps the private half, sealed; nothing ever shows it. `Signer` signs with it.
   * @throws request.not-found, request.forbidden, request.name-taken
   */
  async generate(ctx: Context, input: { name: string; account: string }): Promise<EnrolledKey> {
    const pair = generateSigningKey();
    return this.enrol(ctx, input, pair.publicKey, this.sealer.seal(pair.privateKeyPem, sealPurpose));
  }

  private async enrol(ctx: Context, input: { name: string; account: string }, key: VerificationKey, sealedPrivate: string | null): Promise<EnrolledKey> {
    assertTrustName(input.name);
    const account = await this.accounts.find(ctx, input.account);
    if (!account || account.kind === 'robot') throw requestProblem('invalid', { errors: [{ pointer: '/account', detail: 'no such user or organization' }] });
    this.access.assertCan(ctx, 'signing-key:create', { kind: 'account', id: account.id });
    const id = uuidv7();
    try {
      return await this.db.transaction(ctx, async (tx) => {
        await this.db.repo(tx, EnrolledKey).insert({
          id, name: input.name, accountId: account.id, publicKeyPem: key.pem, fingerprint: key.fingerprint, algorithm: key.algorithm, status: 'active',
          sealedPrivate, createdAt: this.clock.now(), version: 1,
        });
        await this.access.place(tx, { kind: 'signing-key', id }, this.access.accountCollection(account.id));
        await this.audit.record(tx, {
          action: 'signing-key.create', outcome: 'success', resource: { kind: 'signing-key', id, name: input.name },
          detail: { account: account.name, fingerprint: key.fingerprint, algorithm: key.algorithm, generated: sealedPrivate !== null },
        });
        return this.byId(tx, id);
      });
    } catch (error) {
      if (isUniqueViolation(error, 'trust_signing_keys_name')) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: 'another signing key has this name' }] });
      if (isUniqueViolation(error, 'trust_signing_keys_fingerprint')) throw trustProblem('key-known', { errors: [{ pointer: '/publicKeyPem', detail: 'enrolled already' }] });
      throw error;
    }
  }

  /** By id or name, whoever asks; null when there is none. */
  async find(ctx: Context, idOrName: string): Promise<EnrolledKey | null> {
    return this.db.repo(ctx, EnrolledKey).findOneBy(isUuid(idOrName) ? { id: idOrName } : { name: idOrName });
  }

  /** Reference of the key of this id or name, for the guard of the REST API. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const key = await this.find(ctx, idOrName);
    return key && this.ref(key);
  }

  /** By id or name, when the actor may see it. @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<EnrolledKey> {
    const key = await this.find(ctx, idOrName);
    if (!key || !this.access.can(ctx, 'signing-key:view', this.ref(key)).allowed) throw requestProblem('not-found');
    return key;
  }

  /** Ids of keys given by id or name, for a policy; an id is passed on as it is. @throws request.invalid naming `/keys/<index>` for names that the actor does not see */
  async resolve(ctx: Context, idsOrNames: string[]): Promise<string[]> {
    const names = idsOrNames.filter((text) => !isUuid(text));
    const found = names.length === 0 ? [] : await this.db.repo(ctx, EnrolledKey).createQueryBuilder('key').where('key.name = any(:names)', { names }).getMany();
    const ids = new Map(found.filter((key) => this.access.can(ctx, 'signing-key:view', this.ref(key)).allowed).map((key) => [key.name, key.id]));
    return idsOrNames.map((text, index) => {
      const id = isUuid(text) ? text : ids.get(text);
      if (id === undefined) throw requestProblem('invalid', { errors: [{ pointer: `/keys/${index}`, detail: 'no such signing key' }] });
      return id;
    });
  }

  /** Keys that the actor sees, by name; `account` (id) and `status` narrow. */
  async list(ctx: Context, options: { limit: number; cursor?: string; account?: string; status?: KeyStatus }): Promise<Page<EnrolledKey>> {
    const scope = this.access.listScope(ctx, 'signing-key:view', 'signing-key');
    const after = decodeCursor(options.cursor, 1)?.[0];
    const query = this.db.repo(ctx, EnrolledKey).createQueryBuilder('key').orderBy('key.name').limit(options.limit + 1);
    if (scope) query.andWhere(inScope('key.account_id', 'key.id'), { ...scope });
    if (after !== undefined) query.andWhere('key.name > :after', { after });
    if (options.account !== undefined) query.andWhere('key.accountId = :account', { account: options.account });
    if (options.status !== undefined) query.andWhere('key.status = :status', { status: options.status });
    return toPage(await query.getMany(), options.limit, (key) => [key.name]);
  }

  /**
   * Renames a key, or changes its status with a reason: `retired` counts for signatures first seen before now, `revoked` for none, at once.
   * There is no way back, so a private half kept here is destroyed.
   * @throws request.not-found, request.forbidden, request.precondition-failed, request.name-taken, trust.key-status
   */
  async update(ctx: Context, idOrName: string, version: number, change: { name?: string; status?: KeyStatus; reason?: string }): Promise<EnrolledKey> {
    const seen = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'signing-key:update', this.ref(seen));
    if (change.name !== undefined) assertTrustName(change.name);
    try {
      return await this.db.transaction(ctx, async (tx) => {
        const key = await this.lock(tx, seen.id, version);
        const status = change.status ?? key.status;
        if (status !== key.status && !nextStatus[key.status].includes(status)) throw trustProblem('key-status', { detail: `A ${key.status} key can’t become ${status}.` });
        if (status !== key.status && !change.reason) throw requestProblem('invalid', { errors: [{ pointer: '/reason', detail: 'say why the key is retired or revoked' }] });
        if (status === key.status && change.reason !== undefined) throw requestProblem('invalid', { errors: [{ pointer: '/reason', detail: 'a reason belongs to a change of status' }] });
        const now = this.clock.now();
        await this.db.repo(tx, EnrolledKey).update(key.id, {
          name: change.name ?? key.name,
          version: key.version + 1,
          ...(status === key.status ? {} : { status, reason: change.reason ?? null, sealedPrivate: null, ...(status === 'retired' ? { retiredAt: now } : { revokedAt: now }) }),
        });
        await this.audit.record(tx, {
          action: 'signing-key.update', outcome: 'success', resource: { kind: 'signing-key', id: key.id, name: change.name ?? key.name },
          detail: {
            fingerprint: key.fingerprint,
            ...(change.name === undefined || change.name === key.name ? {} : { formerName: key.name }),
            ...(status === key.status ? {} : { status, formerStatus: key.status, reason: change.reason }),
          },
        });
        return this.byId(tx, key.id);
      });
    } catch (error) {
      if (isUniqueViolation(error, 'trust_signing_keys_name')) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: 'another signing key has this name' }] });
      throw error;
    }
  }

  /**
   * Removes an active key that no policy names.
   * @throws request.not-found, request.forbidden, request.precondition-failed, trust.key-in-use, trust.key-on-record
   */
  async delete(ctx: Context, idOrName: string, version: number): Promise<void> {
    const seen = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'signing-key:delete', this.ref(seen));
    await this.db.transaction(ctx, async (tx) => {
      const key = await this.lock(tx, seen.id, version);
      if (key.status !== 'active') throw trustProblem('key-on-record');
      // Whoever names a key in a policy holds it `for share` meanwhile, so this sees every policy that was written before.
      if ((await this.db.query(tx, 'select 1 from trust_policies where key_ids @> array[$1::uuid] limit 1', [key.id])).length > 0) throw trustProblem('key-in-use');
      await this.db.repo(tx, EnrolledKey).delete(key.id);
      await this.access.unplace(tx, { kind: 'signing-key', id: key.id });
      await this.audit.record(tx, {
        action: 'signing-key.delete', outcome: 'success', resource: { kind: 'signing-key', id: key.id, name: key.name }, detail: { fingerprint: key.fingerprint },
      });
    });
  }

  /**
   * The private half, for `Signer` alone.
   * @throws trust.key-cannot-sign, and an internal error when what was sealed is not this key's
   */
  async openPrivate(ctx: Context, id: string): Promise<SigningKey> {
    const row = await this.db.repo(ctx, EnrolledKey).createQueryBuilder('key').addSelect('key.sealedPrivate').where('key.id = :id', { id }).getOne();
    if (!row || row.status !== 'active' || row.sealedPrivate === null) throw trustProblem('key-cannot-sign');
    const key = parseSigningKey(this.sealer.open(row.sealedPrivate, sealPurpose).toString());
    // A row copied over another one in the database must not make the other key sign.
    if (key.publicKey.fingerprint !== row.fingerprint) throw new Error(`the private half stored for signing key ${row.id} is another key's`);
    return key;
  }

  private async lock(tx: Context, id: string, version: number): Promise<EnrolledKey> {
    const key = await this.db.repo(tx, EnrolledKey).findOne({ where: { id }, lock: { mode: 'pessimistic_write' } });
    if (!key) throw requestProblem('not-found');
    if (key.version !== version) throw requestProblem('precondition-failed');
    return key;
  }

  private async byId(ctx: Context, id: string): Promise<EnrolledKey> {
    return this.db.repo(ctx, EnrolledKey).findOneByOrFail({ id });
  }
}

/** @throws request.invalid naming `/name` */
export function assertTrustName(name: string): void {
  if (!trustName.test(name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'lower-case letters, digits and ._- inside; 1 to 63 characters' }] });
  if (isUuid(name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'a name must not look like an id' }] });
}
