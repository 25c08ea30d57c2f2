import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import { Clock, type Actor, type ActorLimits, type Context } from '@gantry/platform';
import { RegistryRights, repositoryActions, type RepositoryAction } from './registry-rights';
import type { Scope } from './scope';
import { tokenLifetimeSeconds, TokenSigner, type SignedClaims } from './token-signer';

/** What a token allows: as Distribution reads it. */
export interface TokenAccess {
  type: string;
  name: string;
  actions: string[];
}

/** Claims of a client's token. */
export interface TokenClaims extends SignedClaims {
  /** Account id, or the id of the service credential. */
  sub: string;
  access: TokenAccess[];
  /** Who acts, as far as rights need it, and when exactly (ms since 1970) the token was made. */
  gantry: { kind: Actor['kind']; id: string | null; name: string; credential: string | null; limits: ActorLimits | null; at: number };
}

/** An answer of the token service. */
export interface MintedToken {
  token: string;
  expiresIn: number;
  issuedAt: Date;
}

const maxVerified = 5_000;
const maxRevoked = 50_000;

/**
 * The registry's token service. A token allows what was asked for and what the actor may at that moment; every request that comes with it is
 * judged again, and a token dies with the credential it was got with.
 */
@Injectable()
export class RegistryTokens {
  /** Verified claims by the token's hash, so that a push of many requests costs one signature check. */
  private readonly verified = new Map<string, TokenClaims>();
  /** `account:<id>` or `credential:<id>` → when (ms since 1970) its tokens became void. */
  private readonly revoked = new Map<string, number>();
  private allRevokedAt = 0;

  constructor(
    private readonly signer: TokenSigner,
    private readonly access: Access,
    private readonly rights: RegistryRights,
    private readonly clock: Clock,
  ) {
    this.access.onChange((change) => {
      if (change === null) this.allRevokedAt = this.started ? this.clock.now().getTime() : 0;
      else if (change.type === 'credentials') {
        if (change.credentialId !== undefined) this.revoke(`credential:${change.credentialId}`);
        else if (change.accountId !== undefined) this.revoke(`account:${change.accountId}`);
      }
      this.started = true;
    });
  }

  /** False until the snapshot was loaded for the first time: that is no news about tokens. */
  private started = false;

  /** A token for what the actor asked and may; less than asked is no error. The caller has checked that somebody is signed in. */
  async mint(ctx: Context, wish: { scopes: Scope[] }): Promise<MintedToken> {
    const granted: TokenAccess[] = [];
    for (const scope of wish.scopes) {
      if (scope.type === 'registry' && scope.name === 'catalog' && scope.actions.includes('*')) granted.push({ type: 'registry', name: 'catalog', actions: ['*'] });
      if (scope.type !== 'repository') continue;
      const wished = scope.actions.includes('*') ? repositoryActions : repositoryActions.filter((action) => scope.actions.includes(action));
      const allowed = this.rights.allowed(ctx, scope.name, wished);
      const actions = allowed instanceof Promise ? await allowed : allowed;
      if (actions.length > 0) granted.push({ type: 'repository', name: scope.name, actions });
    }
    const now = this.clock.now();
    const { actor } = ctx;
    const token = this.signer.sign(
      { sub: actor.id ?? actor.credentialId ?? actor.name, access: granted, gantry: { kind: actor.kind, id: actor.id, name: actor.name, credential: actor.credentialId, limits: actor.limits, at: now.getTime() } },
      now,
    );
    return { token, expiresIn: tokenLifetimeSeconds, issuedAt: new Date(Math.floor(now.getTime() / 1000) * 1000) };
  }

  /** The claims of a client's token, or null when it is not ours, not valid now, or its credential is gone. */
  verify(token: string): TokenClaims | null {
    const key = hash('sha256', token, 'base64');
    const now = this.clock.now();
    let claims = this.verified.get(key) ?? null;
    if (!claims) {
      claims = this.signer.verify(token, now) as TokenClaims | null;
      if (!claims?.gantry) return null; // the tokens for the storage behind us name nobody, and allow nothing here
      if (this.verified.size >= maxVerified) this.verified.delete(this.verified.keys().next().value!);
      this.verified.set(key, claims);
    }
    if (claims.exp > now.getTime() / 1000 && this.isLive(claims)) return claims;
    this.verified.delete(key);
    return null;
  }

  /** Whether the credential behind the claims is still there. For streams that outlast the first check. */
  isLive(claims: TokenClaims): boolean {
    const { at, credential, id } = claims.gantry;
    const since = Math.max(this.allRevokedAt, this.revoked.get(`credential:${credential ?? ''}`) ?? 0, this.revoked.get(`account:${id ?? ''}`) ?? 0);
    return at > since;
  }

  /** Who acts by these claims. Whether an account is an administrator is not believed from a token: access looks it up at each decision. */
  actor(claims: TokenClaims): Actor {
    const { kind, id, name, credential, limits } = claims.gantry;
    return { kind, id, name, admin: false, credentialId: credential, limits };
  }

  /** Whether the claims allow an action on a repository. */
  allows(claims: TokenClaims, path: string, action: RepositoryAction): boolean {
    return claims.access.some((access) => access.type === 'repository' && access.name === path && access.actions.includes(action));
  }

  /** Whether the claims allow the catalogue of repositories. */
  allowsCatalog(claims: TokenClaims): boolean {
    return claims.access.some((access) => access.type === 'registry' && access.name === 'catalog');
  }

  private revoke(key: string): void {
    if (this.revoked.size >= maxRevoked) this.revoked.delete(this.revoked.keys().next().value!);
    this.revoked.delete(key);
    this.revoked.set(key, this.clock.now().getTime());
  }
}
