import type { Transform } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import { Access, type Operation, type ResourceRef } from '@gantry/access';
import { CONFIG, type Config, type Context } from '@gantry/platform';
import type { EngineKind } from '../engine-api/shape';
import type { EngineRow } from '../engine-api/table';
import { containerForm, dfFilter, eventsFilter, infoFilter, inspectFilter, listFilter, redactFilter, swarmForm, taskForm, type EngineEvent, type Form, type ItemPath, type UsageKind, Verdicts } from './answers';
import { swarmServiceLabel, type Seen } from './objects';
import type { ClusterOwnership } from './ownership-index';
import { parseReference } from './references';
import { refOf } from './refs';

/** Whose answer is to be filtered, and by what. */
export interface AnswerWish {
  ctx: Context;
  clusterId: string;
  row: EngineRow;
  owners: ClusterOwnership;
  /** Nothing of the row's kind is hidden from the caller. */
  seesAll: boolean;
  /** Repositories of ours that the caller may pull; needed of rows that tell of images. */
  pullable: { has(path: string): boolean };
  /** How many items of a list are shown at most, the first ones; null: all. */
  limit: number | null;
  /** Whether the caller may do this on the cluster as such. */
  allowed(operation: Operation): boolean;
}

type Named = Pick<Seen, 'kind' | 'id' | 'name' | 'partOf'>;

/** Operation by which objects of a kind are seen. */
const views: Partial<Record<EngineKind, Operation>> = {
  container: 'container:view', image: 'image:view', network: 'network:view', volume: 'volume:view', service: 'service:view', task: 'service:view-tasks', node: 'node:view', secret: 'secret:view', config: 'config:view',
};

const viewOf = (kind: EngineKind): Operation | undefined => (kind === 'plugin' ? 'plugin:view' : views[kind]);

interface Listed {
  wanted: readonly ItemPath[];
  read(found: readonly (string | undefined)[]): Named | null;
  /** How engines write it, where `wanted` is no more than that. */
  form?: Form;
}

const byId = (kind: EngineKind): Listed => ({ wanted: [['ID']], form: swarmForm, read: ([id]) => (id ? { kind, id, name: '', partOf: null } : null) });

/** What of each item in a list tells whose it is. */
const lists: Partial<Record<EngineKind, Listed>> = {
  container: {
    wanted: [['Id'], ['Labels', swarmServiceLabel]],
    form: { ...containerForm, also: `"${swarmServiceLabel}":"` },
    read: ([id, service]) => (id ? { kind: 'container', id, name: '', partOf: service ? { kind: 'service', id: service } : null } : null),
  },
  network: { wanted: [['Id'], ['Name']], read: ([id, name]) => (id ? { kind: 'network', id, name: name ?? '', partOf: null } : null) },
  volume: { wanted: [['Name']], read: ([name]) => (name ? { kind: 'volume', id: name, name, partOf: null } : null) },
  task: { wanted: [['ID'], ['ServiceID']], form: taskForm, read: ([id, service]) => (id ? { kind: 'task', id, name: '', partOf: service ? { kind: 'service', id: service } : null } : null) },
  plugin: { wanted: [['Id']], read: ([id]) => (id ? { kind: 'plugin', id, name: '', partOf: null } : null) },
  service: byId('service'), secret: byId('secret'), config: byId('config'), node: byId('node'),
};

/** For so many lists of callers what was decided on their items is kept. */
const maxKnown = 64;
const imageNames = ['RepoTags', 'RepoDigests'] as const;

/** Cuts out of an engine's answers what the caller may not know of. */
@Injectable()
export class AnswerFilters {
  /** By who asks for what; up to 1.3 MB each. */
  private readonly known = new Map<string, { verdicts: Verdicts; access: number; owners: number }>();

  constructor(
    private readonly access: Access,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** What the answer to a call of this row goes through; null: it goes out as the engine wrote it. */
  make(wish: AnswerWish): (() => Transform) | null {
    const { row, seesAll } = wish;
    const { response } = row;
    switch (response.is) {
      case 'none':
        if (seesAll) return null;
        if (row.name === 'GET /images/{name}/history') return () => this.history(wish);
        return row.name === 'GET /images/{name}/json' ? () => this.image(wish) : null;
      case 'prune':
        // Only whoever sees everything may prune.
        return null;
      case 'list': {
        if (seesAll) return null;
        if (response.kind === 'image') return () => this.images(wish, response.at);
        const list = lists[response.kind];
        if (!list) throw new Error(`lists of ${response.kind} are not filtered`);
        return () => {
          const sees = this.seer(wish, response.kind);
          const keep = (found: readonly (string | undefined)[]): boolean => sees(list.read(found));
          // Only containers are counted, and of those no verdicts are remembered: each is asked for.
          let left = wish.limit;
          const counted = (found: readonly (string | undefined)[]): boolean => left! > 0 && keep(found) && left!-- > 0;
          return listFilter({ at: response.at, wanted: list.wanted, ...(list.form ? { form: list.form, known: this.knownTo(wish, response.kind, list.form) } : {}), keep: left === null ? keep : counted });
        };
      }
      case 'events':
        return this.seesEverything(wish) ? null : () => eventsFilter({ keep: (event) => this.seesEvent(wish, event) });
      case 'df':
        return this.seesEverything(wish)
          ? null
          : () => dfFilter({ wanted: { container: [['Labels', swarmServiceLabel]] }, keep: (kind, id, [service]) => this.seesUse(wish, kind, id, service) });
      case 'inspect':
        if (this.seesEverything(wish)) return null;
        // A network tells of its containers by id, of services and peers without one, and, since API 1.52, of how many addresses are taken.
        return () => inspectFilter({ at: response.at, keep: (at, name) => at === '/Containers' && name !== null && this.sees(wish, { kind: 'container', id: name, name: '', partOf: null }), drop: ['/Status'] });
      case 'redact':
        return wish.allowed(response.unless) ? null : () => redactFilter({ at: response.at });
      case 'info':
        return this.seesEverything(wish) ? null : () => infoFilter();
    }
  }

  /** Whether one of an image's names is of a repository that the caller may pull. */
  seesImage(wish: Pick<AnswerWish, 'pullable'>, names: readonly string[]): boolean {
    return names.some((name) => this.isPullable(wish, name));
  }

  private isPullable({ pullable }: Pick<AnswerWish, 'pullable'>, name: string): boolean {
    const named = parseReference(name, this.config.registryPublicHost);
    return named !== null && pullable.has(named.path);
  }

  /** Images by the names under which the caller may pull them; other names of the same image are cut out. */
  private images(wish: AnswerWish, at: string): Transform {
    return listFilter({
      at, wanted: [['Id']], lists: imageNames.map((name) => [name]), keep: (_found, names) => this.seesImage(wish, names.flat()),
      show: imageNames.map((name) => ({ at: `/${name}`, keep: (text) => this.isPullable(wish, text) })), drop: ['/Labels', '/Manifests', '/Containers', '/SharedSize'],
    });
  }

  private image(wish: AnswerWish): Transform {
    return inspectFilter({ at: imageNames.map((name) => `/${name}`), keep: (_at, name) => name !== null && this.isPullable(wish, name), drop: ['/Manifests', '/GraphDriver', '/Identity'] });
  }

  /** Each layer tells the names of the images that end with it. */
  private history(wish: AnswerWish): Transform {
    return listFilter({ at: '', wanted: [['Id']], keep: () => true, show: [{ at: '/Tags', keep: (text) => this.isPullable(wish, text) }] });
  }

  private seesEverything({ ctx }: AnswerWish): boolean {
    return (Object.entries(views) as [EngineKind, Operation][]).every(([kind, operation]) => this.access.listScope(ctx, operation, kind) === null);
  }

  private sees(wish: AnswerWish, seen: Named | null): boolean {
    const operation = seen === null ? undefined : viewOf(seen.kind);
    return seen !== null && operation !== undefined && this.access.can(wish.ctx, operation, refOf(wish.owners, wish.clusterId, seen)).allowed;
  }

  /** As `sees` for the items of a list: what is the same for all of them is looked up once. */
  private seer(wish: AnswerWish, kind: EngineKind): (seen: Named | null) => boolean {
    const operation = viewOf(kind);
    let revision: number | null = null;
    let judge: (resource: ResourceRef) => boolean = () => false;
    return (seen) => {
      const { revision: now } = this.access;
      if (now === null || operation === undefined || seen === null) return false;
      if (now !== revision) [revision, judge] = [now, this.access.judge(wish.ctx, operation)];
      return judge(refOf(wish.owners, wish.clusterId, seen));
    };
  }

  /** What was decided before on the ids of a list that the same caller asks for again; null where more than the account and the ids counts. */
  private knownTo({ ctx: { actor }, clusterId, owners }: AnswerWish, kind: EngineKind, form: Form): () => Verdicts | null {
    if (form.also !== undefined || actor.limits !== null || actor.id === null) return () => null;
    const key = `${actor.kind} ${actor.id} ${clusterId} ${kind}`;
    return () => {
      const { revision } = this.access;
      if (revision === null) return null;
      let known = this.known.get(key);
      if (known) this.known.delete(key);
      else known = { verdicts: new Verdicts(form.idBytes), access: revision, owners: owners.revision };
      // The one that was asked for last stands last.
      this.known.set(key, known);
      const oldest = this.known.keys().next();
      if (this.known.size > maxKnown && !oldest.done) this.known.delete(oldest.value);
      if (known.access !== revision || known.owners !== owners.revision) {
        known.verdicts.clear();
        [known.access, known.owners] = [revision, owners.revision];
      }
      return known.verdicts;
    };
  }

  /** An event is seen by who sees all that it tells of. */
  private seesEvent(wish: AnswerWish, { Type, Actor: { ID, Attributes } }: EngineEvent): boolean {
    const service = Attributes[swarmServiceLabel];
    const container = (id: string): Named => ({ kind: 'container', id, name: '', partOf: service ? { kind: 'service', id: service } : null });
    switch (Type) {
      case 'container':
        return this.sees(wish, container(ID));
      case 'network':
      case 'volume': {
        const other = Attributes['container'];
        return this.sees(wish, { kind: Type, id: ID, name: Attributes['name'] ?? '', partOf: null }) && (other === undefined || other === '' || this.sees(wish, container(other)));
      }
      case 'service':
      case 'secret':
      case 'config':
      case 'node':
        return this.sees(wish, { kind: Type, id: ID, name: '', partOf: null });
      default:
        return false;
    }
  }

  private seesUse(wish: AnswerWish, kind: UsageKind, id: string, service: string | undefined): boolean {
    if (kind === 'container') return this.sees(wish, { kind, id, name: '', partOf: service ? { kind: 'service', id: service } : null });
    return kind === 'volume' && this.sees(wish, { kind, id, name: id, partOf: null });
  }
}
