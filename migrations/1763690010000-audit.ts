import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The audit log and its checkpoints; triggers keep sealed rows as they are, also against our own code. */
export class Audit1763690010000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table audit_rows (
        id uuid primary key,
        at timestamptz not null,
        actor_kind text not null,
        actor_id text,
        actor_name text not null,
        credential_id text,
        request_id text not null,
        address text,
        action text not null,
        resource_kind text,
        resource_id text,
        resource_name text,
        outcome text not null check (outcome in ('success', 'refused', 'failed')),
        detail jsonb not null,
        count integer not null check (count > 0),
        seq bigint unique check (seq > 0),
        hash text,
        check ((seq is null) = (hash is null))
      );
      create index audit_rows_unsealed on audit_rows (id) where seq is null;
      create index audit_rows_resource on audit_rows (resource_kind, resource_id, id);
      create index audit_rows_actor_id on audit_rows (actor_id, id);
      create index audit_rows_actor_name on audit_rows (actor_name, id);
      create index audit_rows_action on audit_rows (action, id);
      create index audit_rows_request_id on audit_rows (request_id);
      create table audit_checkpoints (
        seq bigint primary key,
        hash text not null,
        at timestamptz not null,
        signature text not null,
        key_id text not null
      );
      create function audit_refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
      end $$;
      create function audit_allow_sealing() returns trigger language plpgsql as $$
      begin
        if old.seq is not null or to_jsonb(new) - 'seq' - 'hash' is distinct from to_jsonb(old) - 'seq' - 'hash' then
          raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
        end if;
        return new;
      end $$;
      create trigger audit_rows_update before update on audit_rows for each row execute function audit_allow_sealing();
      create trigger audit_rows_delete before delete on audit_rows for each row execute function audit_refuse_change();
      create trigger audit_rows_truncate before truncate on audit_rows for each statement execute function audit_refuse_change();
      create trigger audit_checkpoints_change before update or delete on audit_checkpoints for each row execute function audit_refuse_change();
      create trigger audit_checkpoints_truncate before truncate on audit_checkpoints for each statement execute function audit_refuse_change();
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
