import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Whose the objects are that people make on clusters through the engine's own API, and word of every change of it and of `clusters_objects`.
 * A name of a kind is in one of the two tables at most; an insert that would make it two is left out, as `on conflict do nothing` would.
 */
export class EngineObjects1763690130000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table clusters_engine_objects (
        id uuid primary key,
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        node_id text not null default '',
        kind text not null check (kind in ('container', 'network', 'volume', 'service', 'secret', 'config')),
        name text not null,
        engine_id text,
        created_by uuid,
        created_at timestamptz not null,
        constraint clusters_engine_objects_name unique (cluster_id, node_id, kind, name)
      );
      -- A volume's id is its name, which each node may have.
      create unique index clusters_engine_objects_engine_id on clusters_engine_objects (cluster_id, kind, engine_id) where engine_id is not null and kind <> 'volume';
      create index clusters_engine_objects_named on clusters_engine_objects (cluster_id, kind, name);

      create function clusters_one_owner() returns trigger language plpgsql as $$
      begin
        perform pg_advisory_xact_lock(7263005, hashtext(concat_ws(' ', new.cluster_id, new.kind, new.name)));
        if tg_table_name = 'clusters_objects' then
          perform 1 from clusters_engine_objects o where o.cluster_id = new.cluster_id and o.kind = new.kind and o.name = new.name;
        else
          perform 1 from clusters_objects o where o.cluster_id = new.cluster_id and o.kind = new.kind and o.name = new.name;
        end if;
        if found then
          return null;
        end if;
        return new;
      end $$;
      create trigger clusters_objects_one_owner before insert on clusters_objects for each row execute function clusters_one_owner();
      create trigger clusters_engine_objects_one_owner before insert on clusters_engine_objects for each row execute function clusters_one_owner();

      -- Which rows have changed; of many only in which cluster. A long name would not fit the payload.
      create function clusters_tell_objects() returns trigger language plpgsql as $$
      begin
        if (select count(*) from (select 1 from changed limit 101) as counted) > 100 then
          perform pg_notify('gantry_engine_objects', cluster_id::text) from (select distinct cluster_id from changed) as clusters;
        elsif tg_table_name = 'clusters_objects' then
          perform pg_notify('gantry_engine_objects', cluster_id || case when octet_length(name) > 1000 then '' else ' delivery ' || kind || ' ' || name end) from changed;
        else
          perform pg_notify('gantry_engine_objects', cluster_id || ' own ' || id) from changed;
        end if;
        return null;
      end $$;
      ${['clusters_objects', 'clusters_engine_objects']
        .map(
          (table) => `
      create trigger ${table}_tell_insert after insert on ${table} referencing new table as changed for each statement execute function clusters_tell_objects();
      create trigger ${table}_tell_update after update on ${table} referencing new table as changed for each statement execute function clusters_tell_objects();
      create trigger ${table}_tell_delete after delete on ${table} referencing old table as changed for each statement execute function clusters_tell_objects();`,
        )
        .join('')}
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
