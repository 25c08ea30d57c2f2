import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Clock, Db, Sealer, type Context } from '@gantry/platform';
import { makeAuthority } from './certificate-format';

/** `client` signs the certificates of people and robots, `gateway` those of the engine gateway's listener: neither has to be replaced for the other. */
export type AuthorityKind = 'client' | 'gateway';

/** One of our authorities. */
export interface Authority {
  certificate: X509Certificate;
  /** Its certificate, PEM. */
  pem: string;
  /** Opens its private key, which is needed for signing alone. @throws when the key that sealed it is not configured any more */
  openKey: () => KeyObject;
}

/** Advisory lock under which an authority is made. */
const authorityLock = 7_263_005;
const names: Record<AuthorityKind, string> = { client: 'Gantry clients', gateway: 'Gantry engine gateway' };

/** The installation's own certificate authorities. Each is made once, by whoever needs it first; its key lies sealed in the database. */
@Injectable()
export class Authorities {
  private readonly known = new Map<AuthorityKind, Promise<Authority>>();

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
  ) {}

  /** The authority, made where there is none yet. */
  async ensure(ctx: Context, kind: AuthorityKind): Promise<Authority> {
    let found = this.known.get(kind);
    if (!found) {
      // Remembered for good, so never within a transaction that may be undone.
      found = this.loadOrMake({ ...ctx, tx: null, afterCommit: null }, kind);
      this.known.set(kind, found);
      found.catch(() => this.known.delete(kind));
    }
    return found;
  }

  private async loadOrMake(ctx: Context, kind: AuthorityKind): Promise<Authority> {
    return (await this.load(ctx, kind)) ?? this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'select pg_advisory_xact_lock($1)', [authorityLock]);
      const other = await this.load(tx, kind);
      if (other) return other;
      const now = this.clock.now();
      const { certificate, key } = await makeAuthority(names[kind], now);
      const sealed = this.sealer.seal(key, purposeOf(kind));
      await this.db.query(tx, 'insert into access_authorities (kind, certificate, sealed_key, created_at) values ($1, $2, $3, $4)', [kind, certificate, sealed, now]);
      return this.authority(kind, certificate, sealed);
    });
  }

  private async load(ctx: Context, kind: AuthorityKind): Promise<Authority | null> {
    const [row] = await this.db.query<{ certificate: string; sealed_key: string }>(ctx, 'select certificate, sealed_key from access_authorities where kind = $1', [kind]);
    return row ? this.authority(kind, row.certificate, row.sealed_key) : null;
  }

  private authority(kind: AuthorityKind, pem: string, sealedKey: string): Authority {
    return { certificate: new X509Certificate(pem), pem, openKey: () => createPrivateKey(this.sealer.open(sealedKey, purposeOf(kind))) };
  }
}

function purposeOf(kind: AuthorityKind): string {
  return `access.authority:${kind}`;
}
