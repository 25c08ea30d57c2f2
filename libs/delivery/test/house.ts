import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Access, accessEntities, AccessModule, Accounts, Collections, Grants } from '@gantry/access';
import { Audit, auditEntities, AuditModule } from '@gantry/audit';
import { Clusters, clustersEntities, ClustersModule, GatewayImages, ImageAdmission, NodeScheduling, type EngineService, type EngineTask } from '@gantry/clusters';
import { makeContext, PlatformModule, systemContext, type Config, type Context, type Db } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testLogger } from '@gantry/platform/testing';
import { DigestUse, Images, registryEntities, RegistryModule, Repositories } from '@gantry/registry';
import { startDistribution } from '@gantry/registry/testing';
import { SignaturePolicies, Signer, SigningKeys, TrustAdmission, trustEntities, TrustModule } from '@gantry/trust';
import { pushImage, startEngine, startRegistry, webImage, type Behaviour, type LabEngine } from '../../../test/lab';
import { Applications, DeliveryEvents, DeliveryImages, DeliveryModule, DeliveryUse, deliveryEntities, Deployments, Environments, Faults, isFinal, Plans, Triggers, type Deployment } from '../src';

/** Thrown in place of a killed process. */
export class Killed extends Error {}

/** Counts the points that a run passes, and dies at one of them. */
export class TestFaults extends Faults {
  passed: string[] = [];
  dieAt: number | null = null;

  override async point(step: string, when: 'before' | 'after', object: string): Promise<void> {
    this.passed.push(`${step} ${when} ${object}`);
    if (this.dieAt !== null && this.passed.length > this.dieAt) {
      this.dieAt = null;
      throw new Killed(`${step} ${when} ${object}`);
    }
    return Promise.resolve();
  }
}

/** Every room below delivery, real: PostgreSQL, Distribution, an engine with a swarm of one, and a registry that its node pulls from. */
export interface House {
  db: Db;
  config: Config;
  engine: LabEngine;
  /** The recovery admin, a person. */
  admin: Context;
  system: Context;
  faults: TestFaults;
  access: Access;
  accounts: Accounts;
  collections: Collections;
  grants: Grants;
  audit: Audit;
  clusters: Clusters;
  scheduling: NodeScheduling;
  repositories: Repositories;
  keys: SigningKeys;
  policies: SignaturePolicies;
  signer: Signer;
  environments: Environments;
  applications: Applications;
  plans: Plans;
  deployments: Deployments;
  triggers: Triggers;
  events: DeliveryEvents;
  use: DeliveryUse;
  /** Pushes an image that says `version` to `repository:tag`; answers its digest. */
  push(repository: string, tag: string, behaviour?: Behaviour): Promise<string>;
  /** Runs a deployment until it is final, as workers would. */
  finish(deployment: { id: string }): Promise<Deployment>;
  /** The engine's own word on a service of a stack; null when there is none. */
  inspect(name: string): Promise<EngineService | null>;
  /** Services, networks, configs and secrets with the stack's label, by the engine. */
  objects(stack: string): Promise<{ services: string[]; networks: string[]; configs: string[]; secrets: string[] }>;
  tasks(service: string): Promise<EngineTask[]>;
  close(): Promise<void>;
}

/** Opens everything; takes a few seconds. */
export async function openHouse(overrides: Partial<Config> = {}): Promise<House> {
  const dir = mkdtempSync(join(tmpdir(), 'gd-'));
  const entities = [...auditEntities, ...accessEntities, ...registryEntities, ...clustersEntities, ...trustEntities, ...deliveryEntities];
  const [engine, lab, distribution, test] = await Promise.all([startEngine({ dir: join(dir, 'e') }), startRegistry({ dir: join(dir, 'r') }), startDistribution(), openTestDatabase(entities)]);
  const config = testConfig({ GANTRY_REGISTRY_PUBLIC_HOST: lab.host }, { registryBackendUrl: distribution.url, tokenKeyFile: distribution.keyFile, tokenCertFile: distribution.certFile, deployDeadlineSeconds: 240, ...overrides });
  @Global()
  @Module({ imports: [TrustModule, DeliveryModule], providers: [{ provide: ImageAdmission, useExisting: TrustAdmission }, { provide: DigestUse, useExisting: DeliveryUse }, { provide: GatewayImages, useExisting: DeliveryImages }], exports: [ImageAdmission, DigestUse, GatewayImages] })
  class Ports {}
  @Module({ imports: [PlatformModule.forRoot({ config, logger: testLogger(), db: test.db }), AuditModule, AccessModule, RegistryModule, ClustersModule, TrustModule, DeliveryModule, Ports] })
  class Rooms {}
  const faults = new TestFaults();
  const app = await Test.createTestingModule({ imports: [Rooms] }).overrideProvider(Faults).useValue(faults).compile();
  await app.init();
  const system = systemContext('test');
  const accounts = app.get(Accounts);
  await accounts.ensureAdmin(system, 'correct horse battery staple');
  const account = await accounts.get(system, 'admin');
  const admin = makeContext({ kind: 'user', id: account.id, name: 'admin', admin: true, credentialId: null, limits: null }, { requestId: 'house' });
  const clusters = app.get(Clusters);
  const images = app.get(Images);
  const deployments = app.get(Deployments);
  const labelled = (stack: string): string => encodeURIComponent(JSON.stringify({ label: [`com.docker.stack.namespace=${stack}`] }));
  return {
    db: test.db, config, engine, admin, system, faults, accounts, clusters, deployments, collections: app.get(Collections), grants: app.get(Grants), scheduling: app.get(NodeScheduling),
    access: app.get(Access), audit: app.get(Audit), repositories: app.get(Repositories), keys: app.get(SigningKeys), policies: app.get(SignaturePolicies), signer: app.get(Signer),
    environments: app.get(Environments), applications: app.get(Applications), plans: app.get(Plans), triggers: app.get(Triggers), events: app.get(DeliveryEvents), use: app.get(DeliveryUse),
    push: async (repository, tag, behaviour = 'ok') => {
      const image = await webImage({ version: `${repository} ${tag}`, behaviour });
      await pushImage(image, { url: lab.url, repository, reference: tag });
      for (const blob of [image.config, ...image.layers]) await images.pushBlob(admin, repository, blob.bytes);
      await images.pushManifest(admin, repository, tag, image.mediaType, image.manifest);
      return image.digest;
    },
    finish: async ({ id }) =>
      eventually('the deployment ends', async () => {
        await deployments.run(system, { deploymentId: id });
        const found = await deployments.get(system, id);
        return isFinal(found.state) ? found : null;
      }, 280),
    inspect: async (name) => (await engine.call<EngineService[]>('GET', '/v1.41/services')).find(({ Spec }) => Spec.Name === name) ?? null,
    objects: async (stack) => {
      const [services, networks, configs, secrets] = await Promise.all([
        engine.call<EngineService[]>('GET', `/v1.41/services?filters=${labelled(stack)}`),
        engine.call<{ Name: string }[]>('GET', `/v1.41/networks?filters=${labelled(stack)}`),
        engine.call<{ Spec: { Name: string } }[]>('GET', `/v1.41/configs?filters=${labelled(stack)}`),
        engine.call<{ Spec: { Name: string } }[]>('GET', `/v1.41/secrets?filters=${labelled(stack)}`),
      ]);
      const names = (list: { Spec: { Name: string } }[]): string[] => list.map(({ Spec }) => Spec.Name).sort();
      return { services: names(services), networks: networks.map(({ Name }) => Name).sort(), configs: names(configs), secrets: names(secrets) };
    },
    tasks: (service) => engine.call<EngineTask[]>('GET', `/v1.41/tasks?filters=${encodeURIComponent(JSON.stringify({ service: [service] }))}`),
    close: async () => {
      await app.close();
      await test.close();
      await Promise.all([engine.stop(), lab.stop(), distribution.stop()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
