import { Problem } from '@gantry/platform';
import { planChanges } from './changes';
import { parseCompose } from './compose';
import type { ReleaseImage, Stack } from './entities';
import { completeSpec, keptTo, ownConstraints, renderStack, sentHash } from './stack';

const application = { id: 'a-id', name: 'shop' };
const environment = { id: 'e-id', name: 'dev' };
const image = (digit: string): ReleaseImage => ({ repositoryId: 'r-id', repository: 'acme/web', digest: `sha256:${digit.repeat(64)}`, reference: 'acme/web:1' });

function render(text: string, options: { digit?: string; secret?: string } = {}): Stack {
  const result = parseCompose(text, { variables: {} });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  const images = Object.fromEntries(Object.keys(result.file.services).map((service) => [service, image(options.digit ?? '1')]));
  return renderStack(result.file, {
    application, environment, images, secretValues: { token: Buffer.from(options.secret ?? 's3cret') }, nameKey: Buffer.alloc(32, 1), registryHost: 'r.example', seal: () => 'sealed',
  });
}

const file = `
services:
  web:
    image: acme/web:1
    secrets: [token]
    deploy: { update_config: { failure_action: rollback, parallelism: 2 } }
  db:
    image: acme/web:1
    deploy: { update_config: { failure_action: continue } }
secrets: { token: {} }
`;

describe('renderStack', () => {
  it('pins images, marks what is ours, and leaves the way back to us', () => {
    const stack = render(file);
    const web = stack.services.find(({ service }) => service === 'web');
    expect(stack.name).toBe('shop-dev');
    expect(web?.spec.TaskTemplate.ContainerSpec.Image).toBe(`r.example/acme/web@${image('1').digest}`);
    expect(web?.spec.Labels).toMatchObject({ 'com.docker.stack.namespace': 'shop-dev', 'io.gantry.application': 'a-id', 'io.gantry.environment': 'e-id' });
    expect(web?.spec.UpdateConfig).toMatchObject({ FailureAction: 'pause', Parallelism: 2 });
    expect(stack.services.find(({ service }) => service === 'db')?.spec.UpdateConfig?.FailureAction).toBe('continue');
    expect(stack.networks.every(({ Labels }) => Labels['io.gantry.application'] === 'a-id')).toBe(true);
  });

  it('keeps no secret in the clear', () => {
    expect(JSON.stringify(render(file, { secret: 'hunter2hunter2' }))).not.toMatch(/hunter2|aHVudGVyM/);
    expect(render(file).secrets[0]).toMatchObject({ sealedData: 'sealed' });
  });

  it('gives equal input an equal hash, and a changed secret or image another', () => {
    const hashes = (stack: Stack): string[] => stack.services.map(({ hash }) => hash);
    expect(hashes(render(file))).toEqual(hashes(render(file)));
    expect(hashes(render(file, { digit: '2' }))).not.toEqual(hashes(render(file)));
    const [db, web] = hashes(render(file, { secret: 'other' }));
    expect(db).toBe(hashes(render(file))[0]);
    expect(web).not.toBe(hashes(render(file))[1]);
    expect(sentHash({ hash: 'x' }, 'credential 1')).not.toBe(sentHash({ hash: 'x' }, 'credential 2'));
  });

  it('keeps services to nodes beside their own constraints, and takes that back without a trace', () => {
    const [one, two] = ['node.labels.io.gantry.nodes.1==true', 'node.labels.io.gantry.nodes.2==true'];
    const stack = render(file.replace('deploy: { update_config: { failure_action: continue }', 'deploy: { placement: { constraints: [node.role==worker], max_replicas_per_node: 1 }, update_config: { failure_action: continue }'));
    const kept = keptTo(stack, [one]);
    expect(kept.services.map(({ spec }) => spec.TaskTemplate.Placement)).toEqual([{ Constraints: ['node.role==worker', one], MaxReplicas: 1 }, { Constraints: [one] }]);
    expect([ownConstraints(stack), ownConstraints(kept), ownConstraints(keptTo(kept, [two]))]).toEqual([[], [one], [two]]);
    expect(new Set([stack, kept, keptTo(kept, [two])].map(({ services }) => services[1]!.hash)).size).toBe(3);
    expect([keptTo(kept, []), keptTo(keptTo(kept, [two]), [one])]).toEqual([stack, kept]);
    expect(() => render(file.replace('deploy: { update_config: { failure_action: continue }', `deploy: { placement: { constraints: ["${one}"] }, update_config: { failure_action: continue }`))).toThrow(Problem);
  });

  it('fills in ids, and refuses to send a spec whose secret is not on the cluster', () => {
    const stack = render(file);
    const web = stack.services.find(({ service }) => service === 'web');
    if (!web) throw new Error('no web');
    const secrets = new Map(stack.secrets.map(({ name }) => [name, `id of ${name}`]));
    const spec = completeSpec(web, { secrets, configs: new Map() }, 'hash', 'd-id');
    expect(spec.TaskTemplate.ContainerSpec.Secrets?.[0]?.SecretID).toBe(`id of ${stack.secrets[0]?.name}`);
    expect(spec.Labels).toMatchObject({ 'io.gantry.spec-hash': 'hash', 'io.gantry.deployment': 'd-id' });
    let thrown: unknown;
    try {
      completeSpec(web, { secrets: new Map(), configs: new Map() }, 'hash', 'd-id');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Problem);
    expect((thrown as Problem).code).toBe('delivery.external-missing');
  });
});

describe('planChanges', () => {
  const actions = (from: Stack | null, to: Stack): string[] => planChanges(from, to).filter(({ action }) => action !== 'unchanged').map(({ kind, name, action }) => `${action} ${kind} ${name}`);

  it('creates everything the first time and nothing the second', () => {
    expect(actions(null, render(file))).toEqual([
      'create network shop-dev_default', expect.stringMatching(/^create secret shop-dev_token_/), 'create service shop-dev_db', 'create service shop-dev_web',
    ]);
    expect(actions(render(file), render(file))).toEqual([]);
  });

  it('tells which field of which service changes, and what goes', () => {
    const before = render(file);
    const after = render(file.replace('parallelism: 2', 'parallelism: 3'));
    const change = planChanges(before, after).find(({ action }) => action === 'update');
    expect(change).toMatchObject({ kind: 'service', name: 'shop-dev_web', fields: [{ path: 'UpdateConfig.Parallelism', from: 2, to: 3 }] });
    expect(actions(before, render('services:\n  web:\n    image: acme/web:1\n'))).toEqual(['update service shop-dev_web', 'remove service shop-dev_db', expect.stringMatching(/^remove secret shop-dev_token_/)]);
  });
});
