import type { Db } from './db';
import { systemContext } from './context';

/**
 * The schema as text, from PostgreSQL's own catalogue: tables with columns, constraints, indexes, triggers and functions, sorted by name.
 * `migrations/schema.sql` is this text; a test compares it with what the migrations make of an empty database, on every supported version alike.
 */
export async function printSchema(db: Db): Promise<string> {
  const ctx = systemContext('schema');
  const columns = await db.query<{ table: string; line: string }>(
    ctx,
    `select c.relname as table,
            '  ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) ||
            case when a.attidentity <> '' then ' generated always as identity' else '' end ||
            coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || case when a.attnotnull then ' not null' else '' end as line
       from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
       join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
      where c.relkind = 'r' order by c.relname, a.attname`,
  );
  const constraints = await db.query<{ table: string; line: string }>(
    ctx,
    `select c.relname as table, '  constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) as line
       from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
      where k.contype <> 'n' order by c.relname, k.conname`,
  );
  const others = await db.query<{ line: string }>(
    ctx,
    `select line from (
       select 1 as part, i.relname as name, pg_get_indexdef(x.indexrelid) || ';' as line
         from pg_index x join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace and n.nspname = 'public'
        where not exists (select 1 from pg_constraint k where k.conindid = x.indexrelid)
       union all
       select 2, p.proname, pg_get_functiondef(p.oid) || ';' from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'public'
       union all
       select 3, t.tgname, pg_get_triggerdef(t.oid) || ';' from pg_trigger t join pg_class c on c.oid = t.tgrelid
         join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public' where not t.tgisinternal
       union all
       select 4, s.relname, 'create sequence ' || quote_ident(s.relname) || ';' from pg_class s join pg_namespace n on n.oid = s.relnamespace and n.nspname = 'public'
        where s.relkind = 'S' and not exists (select 1 from pg_depend d where d.objid = s.oid and d.deptype in ('a', 'i'))
     ) as parts order by part, name, line`,
  );
  const tables = new Map<string, string[]>();
  for (const { table, line } of [...columns, ...constraints]) tables.set(table, [...(tables.get(table) ?? []), line]);
  return [
    '-- The schema that the migrations make, printed from the catalogue by `gantry schema`. Do not edit.',
    '',
    ...[...tables].map(([table, lines]) => `create table ${table} (\n${lines.join(',\n')}\n);\n`),
    ...others.map(({ line }) => `${line}\n`),
  ].join('\n');
}
