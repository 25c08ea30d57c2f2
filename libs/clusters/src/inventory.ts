import { Injectable } from '@nestjs/common';
import { decodeCursor, toPage, type Context, type Page } from '@gantry/platform';
import { Clusters } from './clusters';
import { EngineError, stackLabel, type EngineClient } from './engine.client';
import type { EngineService } from './engine.types';

/** One page of what an engine lists. */
export interface InventoryPage {
  limit: number;
  cursor?: string;
}

/**
 * What is on a cluster, as its engine tells it now: nothing is stored. Values that are often secret are left out: environment variables
 * are named without their values, secrets and configs come without data. Every method @throws request.not-found, clusters.unreachable,
 * clusters.tls-failed, clusters.engine-failed
 */
@Injectable()
export class Inventory {
  constructor(private readonly clusters: Clusters) {}

  nodes(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) =>
      (await engine.nodes()).map((node) => ({
        id: node.ID,
        hostname: node.Description?.Hostname ?? '',
        role: node.Spec.Role,
        leader: node.ManagerStatus?.Leader ?? false,
        availability: node.Spec.Availability,
        state: node.Status.State,
        message: node.Status.Message ?? '',
        address: node.Status.Addr ?? '',
        engineVersion: node.Description?.Engine?.EngineVersion ?? '',
        os: node.Description?.Platform?.OS ?? '',
        architecture: node.Description?.Platform?.Architecture ?? '',
        cpus: (node.Description?.Resources?.NanoCPUs ?? 0) / 1e9,
        memoryBytes: node.Description?.Resources?.MemoryBytes ?? 0,
        labels: node.Spec.Labels ?? {},
      })),
    );
  }

  services(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) => (await engine.services()).map(describeService));
  }

  tasks(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) =>
      (await engine.tasks()).map((task) => ({
        id: task.ID,
        serviceId: task.ServiceID,
        nodeId: task.NodeID ?? null,
        slot: task.Slot ?? null,
        image: task.Spec.ContainerSpec?.Image ?? '',
        state: task.Status.State,
        desiredState: task.DesiredState,
        message: task.Status.Message ?? '',
        error: task.Status.Err ?? '',
        exitCode: task.Status.ContainerStatus?.ExitCode ?? null,
        createdAt: task.CreatedAt,
        stateSince: task.Status.Timestamp ?? task.UpdatedAt,
      })),
    );
  }

  networks(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) =>
      (await engine.networks()).map((network) => ({
        id: network.Id,
        name: network.Name,
        driver: network.Driver,
        scope: network.Scope,
        internal: network.Internal ?? false,
        attachable: network.Attachable ?? false,
        ingress: network.Ingress ?? false,
        labels: network.Labels ?? {},
      })),
    );
  }

  /** Volumes of the node that Gantry talks to. */
  volumes(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) => (await engine.volumes()).map((volume) => ({ id: volume.Name, name: volume.Name, driver: volume.Driver, labels: volume.Labels ?? {} })));
  }

  secrets(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) => (await engine.secrets()).map(describeFile));
  }

  configs(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) => (await engine.configs()).map(describeFile));
  }

  stacks(ctx: Context, cluster: string, page: InventoryPage) {
    return this.list(ctx, cluster, page, async (engine) => (await engine.stacks()).map((stack) => ({ id: stack.name, ...stack })));
  }

  private async list<T extends { id: string }>(ctx: Context, idOrName: string, page: InventoryPage, read: (engine: EngineClient) => Promise<T[]>): Promise<Page<T>> {
    const after = decodeCursor(page.cursor, 1)?.[0] ?? '';
    try {
      const items = await read(await this.clusters.engine(ctx, await this.clusters.get(ctx, idOrName)));
      const rest = items.filter((item) => item.id > after).sort((a, b) => (a.id < b.id ? -1 : 1));
      return toPage(rest.slice(0, page.limit + 1), page.limit, (item) => [item.id]);
    } catch (error) {
      throw error instanceof EngineError ? error.toProblem() : error;
    }
  }
}

function describeService(service: EngineService) {
  const { Spec: spec } = service;
  const mode = spec.Mode ?? {};
  return {
    id: service.ID,
    name: spec.Name,
    stack: spec.Labels?.[stackLabel] ?? null,
    image: spec.TaskTemplate.ContainerSpec?.Image ?? '',
    mode: mode.Global ? 'global' : mode.ReplicatedJob ? 'replicated-job' : mode.GlobalJob ? 'global-job' : 'replicated',
    replicas: mode.Replicated?.Replicas ?? null,
    updateState: service.UpdateStatus?.State || null,
    updateMessage: service.UpdateStatus?.Message ?? '',
    environment: (spec.TaskTemplate.ContainerSpec?.Env ?? []).map((entry) => entry.split('=')[0]!),
    ports: (service.Endpoint?.Ports ?? spec.EndpointSpec?.Ports ?? []).map((port) => ({ protocol: port.Protocol ?? 'tcp', target: port.TargetPort ?? 0, published: port.PublishedPort ?? null, mode: port.PublishMode ?? 'ingress' })),
    labels: spec.Labels ?? {},
    versionIndex: service.Version.Index,
    createdAt: service.CreatedAt,
    updatedAt: service.UpdatedAt,
  };
}

function describeFile(object: { ID: string; CreatedAt: string; UpdatedAt: string; Spec: { Name: string; Labels?: Record<string, string> | null } }) {
  return { id: object.ID, name: object.Spec.Name, labels: object.Spec.Labels ?? {}, createdAt: object.CreatedAt, updatedAt: object.UpdatedAt };
}
