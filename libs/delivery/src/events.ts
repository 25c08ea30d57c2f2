import { Injectable } from '@nestjs/common';
import { ImageAdmission } from '@gantry/clusters';
import { Audit } from '@gantry/audit';
import { Db, Problem, type Context } from '@gantry/platform';
import { DigestUse } from '@gantry/registry';
import { Applications } from './applications';
import { Deployments } from './deployments';
import { Application, type Environment } from './entities';
import { Environments } from './environments';
import { formatImageReference, matchesTag } from './references';
import { Triggers } from './triggers';

interface Push {
  repository: string;
  tag: string;
  digest: string;
}

/** What delivery does when the registry tells of a push: applications that ask for it (`autoRedeploy`) are deployed. */
@Injectable()
export class DeliveryEvents {
  constructor(
    private readonly db: Db,
    private readonly audit: Audit,
    private readonly applications: Applications,
    private readonly environments: Environments,
    private readonly deployments: Deployments,
    private readonly triggers: Triggers,
    private readonly admission: ImageAdmission,
  ) {}

  /** Subscriber of `registry.image-pushed`. Told twice, it starts one deployment. */
  async onImagePushed(ctx: Context, event: { repository: string; tag: string | null; digest: string }): Promise<void> {
    const { tag } = event;
    if (tag === null) return;
    const asking = await this.db.repo(ctx, Application).createQueryBuilder('a').where(`a.auto_redeploy ->> 'repository' = :repository`, { repository: event.repository }).getMany();
    for (const application of asking) {
      if (!application.autoRedeploy || !matchesTag(application.autoRedeploy.tag, tag)) continue;
      const environment = await this.environments.find(ctx, application.autoRedeploy.environmentId);
      if (environment) await this.deploy(ctx, application, environment, { repository: event.repository, tag, digest: event.digest }, `push:${ctx.requestId}:${tag}:${event.digest}`);
    }
  }

  /** Subscriber of `registry.signature-pushed`: deploys what waited for a signature, once the policy is content. */
  async onSignaturePushed(ctx: Context, event: { repository: string; subject: string }): Promise<void> {
    const rows = await this.db.query<{ application_id: string; environment_id: string; tag: string; created_at: Date }>(ctx,
      'select application_id, environment_id, tag, created_at from delivery_awaited where repository = $1 and digest = $2', [event.repository, event.subject]);
    for (const row of rows) {
      const application = await this.applications.find(ctx, row.application_id);
      const environment = await this.environments.find(ctx, row.environment_id);
      if (application && environment) await this.deploy(ctx, application, environment, { repository: event.repository, tag: row.tag, digest: event.subject }, `awaited:${row.created_at.toISOString()}:${event.subject}`);
    }
  }

  /** Starts the deployment, or writes down that it waits for a signature: images are pushed before they are signed. */
  private async deploy(ctx: Context, application: Application, environment: Environment, push: Push, cause: string): Promise<void> {
    const acting: Context = { ...ctx, actor: { kind: 'trigger', id: application.id, name: `autoRedeploy of ${application.name}`, admin: false, credentialId: null, limits: null } };
    let services: string[];
    try {
      services = await this.triggers.servicesOf(acting, application, environment, push.repository, { service: null, repository: null });
    } catch (error) {
      // A file that can't be read any more (a variable was removed) is for people to see, not to be tried again.
      if (!(error instanceof Problem)) throw error;
      await this.audit.record(acting, { action: 'deployment.create', outcome: 'failed', resource: { kind: 'application', id: application.id, name: application.name }, detail: { origin: 'push', code: error.code, ...push } });
      return;
    }
    if (services.length === 0) return;
    const verdict = await this.admission.admit(acting, { repository: push.repository, digest: push.digest, scope: this.environments.scope(environment) });
    const key = [application.id, environment.id, push.repository];
    await this.db.transaction(acting, async (tx) => {
      if (!verdict.allowed) {
        await this.db.query(tx, `
          insert into delivery_awaited (application_id, environment_id, repository, digest, tag, reason) values ($1, $2, $3, $4, $5, $6)
          on conflict (application_id, environment_id, repository) do update set digest = excluded.digest, tag = excluded.tag, reason = excluded.reason, created_at = now()`,
          [...key, push.digest, push.tag, verdict.reason ?? verdict.explanation]);
        await this.audit.record(tx, {
          action: 'deployment.await-signature', outcome: 'refused', resource: { kind: 'application', id: application.id, name: application.name },
          detail: { environment: environment.name, repository: push.repository, tag: push.tag, digest: push.digest, reason: verdict.reason },
        });
        return;
      }
      // A later push took the place of one that waited.
      await this.db.query(tx, 'delete from delivery_awaited where application_id = $1 and environment_id = $2 and repository = $3', key);
      const reference = formatImageReference(push);
      await this.deployments.start(tx, {
        application, environment, origin: 'push', cause, revisionId: null, images: Object.fromEntries(services.map((service) => [service, reference])),
        plan: null, planned: false, rollbackOf: null,
      });
    });
  }
}

/** Answers the registry's question which digests are needed. It reads the database alone: the registry's own services wait for it at boot. */
@Injectable()
export class DeliveryUse extends DigestUse {
  constructor(private readonly db: Db) {
    super();
  }

  /** Digests of a repository that run somewhere or that a rollback would return to. */
  async usedDigests(ctx: Context, repositoryId: string): Promise<string[]> {
    const rows = await this.db.query<{ digest: string }>(ctx, `
      with live as (
        (select distinct on (application_id, environment_id) release_id, previous_deployment_id from delivery_deployments
         where state = 'succeeded' order by application_id, environment_id, id desc)
        union all select release_id, previous_deployment_id from delivery_deployments where finished_at is null),
      releases as (
        select release_id as id from live
        union select d.release_id from live join delivery_deployments d on d.id = live.previous_deployment_id)
      select distinct image.value ->> 'digest' as digest from releases join delivery_releases r on r.id = releases.id, jsonb_each(r.images) as image
      where image.value ->> 'repositoryId' = $1`, [repositoryId]);
    return rows.map(({ digest }) => digest);
  }
}
