import type { INestApplicationContext } from '@nestjs/common';
import { Accounts, Tokens } from '@gantry/access';
import { Clusters, type Endpoint } from '@gantry/clusters';
import { Applications, Deployments, Environments } from '@gantry/delivery';
import { delay, isLoopback, systemContext, type Config, type Context } from '@gantry/platform';
import { Repositories } from '@gantry/registry';
import { SignaturePolicies, Signer, SigningKeys } from '@gantry/trust';
import { pushImage } from './push';
import { makeSampleImage, samplePage } from './sample-image';
import { StartError } from './start-error';

const organization = 'sample';
const repository = 'sample/hello';
/** A rollout takes seconds; an engine that is busy gets two minutes. */
const patienceSeconds = 120;

/**
 * Deploys the sample through the product's own way: push with a robot token, sign, policy, application, deployment. Every step finds what an
 * interrupted earlier try has made, so that it can be run again at any point.
 * @returns the URL of the page, once it answers
 */
export async function deploySample({ app, config }: { app: INestApplicationContext; config: Config }): Promise<string> {
  const ctx = systemContext('sample');
  const host = isLoopback(config.bind) || config.bind === '0.0.0.0' || config.bind === '::' ? '127.0.0.1' : config.bind;
  const url = `http://${host}:${config.samplePort}`;
  const applications = app.get(Applications);
  const environments = app.get(Environments);
  const deployments = app.get(Deployments);

  const existing = await applications.find(ctx, 'hello');
  const dev = await environments.find(ctx, 'dev');
  if (existing && dev && (await deployments.current(ctx, existing.id, dev.id))) return answers(url);

  const accounts = app.get(Accounts);
  if (!(await accounts.find(ctx, organization))) await accounts.createOrganization(ctx, { name: organization });
  const repositories = app.get(Repositories);
  const repo = (await repositories.find(ctx, repository)) ?? (await repositories.create(ctx, { namespace: 'sample', name: 'hello' }));

  const tokens = app.get(Tokens);
  const robot = await tokens.create(ctx, {
    name: `push-${Date.now().toString(36)}`,
    kind: 'robot',
    owner: organization,
    expiresAt: new Date(Date.now() + 10 * 60_000),
    limits: { operations: ['repository:view', 'repository:pull', 'repository:push'], repositories: [repo.id] },
  });
  const image = await makeSampleImage(samplePage);
  await pushImage(`${config.tlsCertFile ? 'https' : 'http'}://${host}:${config.registryPort}`, { username: robot.account.name, password: robot.token }, repository, '1.0', image);
  await tokens.revoke(ctx, robot.id);

  const keys = app.get(SigningKeys);
  const key = (await keys.find(ctx, 'sample')) ?? (await keys.generate(ctx, { name: 'sample', account: organization }));
  await app.get(Signer).sign(ctx, { keyId: key.id, repository, digest: image.manifest.digest, forms: ['cosign-sig', 'bundle'] });

  const environment = dev ?? (await environments.create(ctx, { name: 'dev', account: organization, cluster: 'local' }));
  const policies = app.get(SignaturePolicies);
  const scope = `environment:${environment.id}`;
  if (!(await policies.findByScope(ctx, scope))) await policies.create(ctx, { scope, name: 'dev', mode: 'enforce', keyIds: [key.id], threshold: 1, claims: {} });

  if (!existing) await applications.create(ctx, { name: 'hello', account: organization, compose: compose(config.samplePort) });
  const deployment = await deployments.create(ctx, { application: 'hello', environment: 'dev' });
  const deadline = Date.now() + patienceSeconds * 1000;
  for (;;) {
    const { state, reason } = await deployments.get(ctx, deployment.id);
    if (state === 'succeeded') break;
    if (['failed', 'rolled-back', 'cancelled', 'superseded'].includes(state)) throw new StartError(`The sample was not deployed (${state}): ${reason?.detail ?? 'no reason given'}. "npm start -- --no-sample" starts without it.`);
    if (Date.now() > deadline) throw new StartError(`The sample is still ${state} after ${patienceSeconds} s. "npm start -- --no-sample" starts without it.`);
    await delay(100);
  }
  return answers(url);
}

/** Registers the engine as cluster `local`, or tells the cluster that its engine has moved. */
export async function ensureLocalCluster(ctx: Context, clusters: Clusters, endpoint: Endpoint): Promise<void> {
  const known = await clusters.find(ctx, 'local');
  if (!known) await clusters.register(ctx, { name: 'local', endpoint });
  else if (JSON.stringify(known.endpoint) !== JSON.stringify(endpoint) && endpoint.kind === 'socket') await clusters.update(ctx, known.id, known.version, { endpoint });
}

async function answers(url: string): Promise<string> {
  const deadline = Date.now() + patienceSeconds * 1000;
  for (;;) {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
      if (answer.ok && (await answer.text()).includes('Hello from Gantry')) return url;
    } catch (error) {
      if (Date.now() > deadline) throw new StartError(`The sample runs, but ${url} does not answer: ${(error as Error).message}`);
    }
    if (Date.now() > deadline) throw new StartError(`Something else than the sample answers at ${url}; choose another GANTRY_SAMPLE_PORT.`);
    await delay(50);
  }
}

function compose(port: number): string {
  return `# The sample of a first boot. "stop-first" because the port is the node's own and can't be held twice.
services:
  web:
    image: ${repository}:1.0
    ports:
      - target: 8080
        published: ${port}
        mode: host
    deploy:
      replicas: 1
      endpoint_mode: dnsrr
      restart_policy: { condition: any, delay: 0s }
      update_config: { order: stop-first, monitor: 2s }
`;
}
