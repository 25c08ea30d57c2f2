import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { eventually } from '@gantry/platform/testing';
import { COSIGN_PINS, findTool } from '@gantry/trust/testing';
import { v, type Credentials, type Json, type Reply, type Things } from '../bypass/book';
import { savedImage, webImage } from '../lab';
import type { EngineCall } from './engine-view';
import { catchUp, run, type Api, type DockerCli } from './gantry';

/** One person's way to an engine: through the gateway, or on its own socket. */
export type Caller = (method: string, target: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>;

/** A person's client bundle, as PEM. */
export async function bundleOf(api: Api): Promise<Required<Credentials> & { ca: string }> {
  await catchUp();
  const answer = await fetch(`${api.base}/api/v1/me/bundle`, { headers: { authorization: `Bearer ${api.token}` } });
  const files = unzipSync(Buffer.from(await answer.arrayBuffer()));
  const file = (name: string): string => Buffer.from(files[name]!).toString();
  return { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') };
}

/** The reply's JSON; throws where the call did not succeed. */
export async function ok(reply: Promise<Reply>): Promise<Json> {
  const { status, body, sent } = await reply;
  if (status < 200 || status > 299) throw new Error(`${sent.slice(0, 300)}: ${status} ${body}`);
  return body === '' ? {} : (JSON.parse(body) as Json);
}

/** Images that are made, pushed and signed with the stock tools. */
export class ImageShop {
  constructor(private readonly docker: DockerCli, private readonly scratch: string) {}

  /** Loads an image under this reference. */
  async load(reference: string, version: string): Promise<void> {
    const file = join(this.scratch, 'image.tar');
    writeFileSync(file, await savedImage(await webImage({ version }), reference));
    this.docker.ok(['load', '-q', '-i', file]);
  }

  /** Loads and pushes; answers the digest. */
  async push(reference: string, version: string): Promise<string> {
    await this.load(reference, version);
    return /digest: (sha256:[0-9a-f]{64})/.exec(this.docker.ok(['push', reference]))![1]!;
  }

  /** Signs as a release would be, and answers the public key. */
  async sign(reference: string): Promise<string> {
    const tool = await findTool(COSIGN_PINS[0]!);
    if (!tool) throw new Error('cosign 2.5.0 is not in the archive any more; give the test another version');
    const env = { COSIGN_PASSWORD: '', DOCKER_CONFIG: this.docker.config, HOME: this.scratch };
    for (const argv of [['generate-key-pair', '--output-key-prefix', join(this.scratch, 'release')], ['sign', '--yes', '--tlog-upload=false',
      '--allow-http-registry', '--key', join(this.scratch, 'release.key'), reference]]) {
      const result = run(tool.path, argv, { env });
      if (result.code !== 0) throw new Error(`cosign ${argv[0]}: ${result.stderr}`);
    }
    return readFileSync(join(this.scratch, 'release.pub'), 'utf8');
  }
}

/**
 * A container and all that goes with it, made by whoever `call` speaks for.
 * @param canary gives texts that nobody else may get to see
 * @param subnet of the network, where it is not to be one of the engine's choice
 */
export async function makeThings(owner: string, call: Caller, image: string, replicas: number, canary: () => string,
  subnet?: string): Promise<Things> {
  const name = (kind: string): string => `${owner}-${kind}-${randomBytes(4).toString('hex')}`;
  const made = async (path: string, body: Json): Promise<string> => {
    const answer = await ok(call('POST', `${v}${path}`, body));
    return String(answer['Id'] ?? answer['ID'] ?? answer['Name']);
  };
  const [network, volume, secret, config, service1, container1] = ['network', 'volume', 'secret', 'config', 'service',
    'container'].map(name) as [string, string, string, string, string, string];
  const networkId = await made('/networks/create', { Name: network,
    ...(subnet === undefined ? {} : { IPAM: { Config: [{ Subnet: subnet }] } }) });
  await made('/volumes/create', { Name: volume, Labels: { note: canary() } });
  const secretId = await made('/secrets/create', { Name: secret, Data: Buffer.from(canary()).toString('base64'),
    Labels: { note: canary() } });
  const configId = await made('/configs/create', { Name: config, Data: Buffer.from(canary()).toString('base64') });
  const listen = `echo ${canary()}; while read line; do echo "$line" >> /heard; done; exec sleep 1000000 # ${canary()}`;
  const containerId = await made(`/containers/create?name=${container1}`, {
    Image: image, OpenStdin: true, Entrypoint: ['/bin/sh', '-c', listen], Env: [`NOTE=${canary()}`], Labels: { note: canary() },
      HostConfig: { NetworkMode: network, Mounts: [{ Type: 'volume', Source: volume, Target: '/data' }] },
  });
  await ok(call('POST', `${v}/containers/${containerId}/start`));
  const exec = await made(`/containers/${containerId}/exec`, { Cmd: ['/bin/sleep', '1000000'] });
  const started = await call('POST', `${v}/exec/${exec}/start`, { Detach: true });
  if (started.status !== 200) throw new Error(started.text);
  const serviceId = await made('/services/create', {
    Name: service1, TaskTemplate: { ContainerSpec: { Image: image, Env: [`NOTE=${canary()}`] } },
      Mode: { Replicated: { Replicas: replicas } }, EndpointSpec: { Mode: 'dnsrr' },
  });
  return {
    container: { id: containerId, name: container1 }, exec, network: { id: networkId, name: network }, volume, secret: { id: secretId,
      name: secret }, config: { id: configId, name: config },
    service: { id: serviceId, name: service1 }, serviceVersion: 0, task: '',
  };
}

/** Adds what is known of a service only when its tasks have come to rest. */
export async function settle(engine: EngineCall, of: Things): Promise<void> {
  const { Spec } = await engine<{ Spec: { Mode: { Replicated: { Replicas: number } } } }>('GET', `/services/${of.service.id}`);
  const filters = encodeURIComponent(JSON.stringify({ service: [of.service.id], 'desired-state': ['running'] }));
  if (Spec.Mode.Replicated.Replicas > 0) {
    of.task = await eventually(`a task of ${of.service.name} runs`,
      async () => (await engine<{ ID: string; Status: { State: string } }[]>('GET',
      `/tasks?filters=${filters}`)).find(({ Status }) => Status.State === 'running')?.ID ?? null, 120);
  }
  of.serviceVersion = (await engine<{ Version: { Index: number } }>('GET', `/services/${of.service.id}`)).Version.Index;
}
