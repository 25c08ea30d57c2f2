import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Keeping the audit log: indexes in the order in which it is read, the proofs of what retention removed, and how far the forwarder came.
 * A row may be deleted only where a removal covers it; a removal ends at a signed checkpoint.
 */
export class AuditKeeping1763690100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create index audit_rows_newest on audit_rows (at, id);
      create index audit_rows_by_actor_id on audit_rows (actor_id, at, id);
      create index audit_rows_by_actor_name on audit_rows (actor_name, at, id);
      create index audit_rows_by_action on audit_rows (action text_pattern_ops, at, id);
      create index audit_rows_by_resource_kind on audit_rows (resource_kind, at, id);
      create index audit_rows_by_resource_id on audit_rows (resource_id, at, id);
      create index audit_rows_by_resource_name on audit_rows (resource_name, at, id);
      create index audit_rows_by_bad_outcome on audit_rows (outcome, at, id) where outcome <> 'success';
      drop index audit_rows_resource;
      drop index audit_rows_actor_id;
      drop index audit_rows_actor_name;
      drop index audit_rows_action;

      create table audit_removals (
        last_seq bigint primary key,
        first_seq bigint not null unique check (first_seq > 0 and first_seq <= last_seq),
        hash text not null,
        before timestamptz not null,
        at timestamptz not null,
        signature text not null,
        key_id text not null
      );
      create trigger audit_removals_change before update or delete on audit_removals for each row execute function audit_refuse_change();
      create trigger audit_removals_truncate before truncate on audit_removals for each statement execute function audit_refuse_change();
      create function audit_allow_retention() returns trigger language plpgsql as $$
      begin
        if old.seq is null or not exists (
          select 1 from audit_removals r join audit_checkpoints c on c.seq = r.last_seq and c.hash = r.hash where r.last_seq >= old.seq and r.first_seq <= old.seq) then
          raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
        end if;
        return old;
      end $$;
      drop trigger audit_rows_delete on audit_rows;
      create trigger audit_rows_delete before delete on audit_rows for each row execute function audit_allow_retention();

      create table audit_forwarding (
        name text primary key,
        seq bigint not null default 0 check (seq >= 0),
        confirmed_at timestamptz,
        connected boolean not null default false,
        fault text,
        changed_at timestamptz not null default now()
      );
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
