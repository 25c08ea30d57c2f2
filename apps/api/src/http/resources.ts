import { Injectable } from '@nestjs/common';
import type { ResourceRef } from '@gantry/access';
import type { Context } from '@gantry/platform';

type Finder = (ctx: Context, idOrName: string) => Promise<ResourceRef | null>;

/** Where each room says how its objects are found by id or name, so that the one guard can judge every route. */
@Injectable()
export class Resources {
  private readonly finders = new Map<string, Finder>();

  /** Called by a room's controllers' constructor or module, once per kind. */
  register(kind: string, finder: Finder): void {
    if (this.finders.has(kind)) throw new Error(`resource kind ${kind} is registered twice`);
    this.finders.set(kind, finder);
  }

  /** Reference of the object, or null. An unknown kind is a programming error. */
  async find(ctx: Context, kind: string, idOrName: string): Promise<ResourceRef | null> {
    const finder = this.finders.get(kind);
    if (!finder) throw new Error(`no finder for resource kind ${kind}`);
    return finder(ctx, idOrName);
  }
}
