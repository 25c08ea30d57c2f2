-- The schema that the migrations make, printed from the catalogue by `gantry schema`. Do not edit.

create table access_accounts (
  active boolean default true not null,
  admin boolean default false not null,
  created_at timestamp with time zone not null,
  display_name text,
  external_id text not null,
  id uuid not null,
  kind text not null,
  mail text,
  name text not null,
  name_key text not null,
  namespace text,
  owner_id uuid,
  password_hash text,
  sign_in_epoch integer default 0 not null,
  source text not null,
  version integer default 1 not null,
  constraint access_accounts_check CHECK (((kind = 'robot'::text) = (owner_id IS NOT NULL))),
  constraint access_accounts_check1 CHECK (((NOT admin) OR (kind = 'user'::text))),
  constraint access_accounts_kind_check CHECK ((kind = ANY (ARRAY['user'::text, 'robot'::text, 'organization'::text]))),
  constraint access_accounts_name UNIQUE (name_key),
  constraint access_accounts_namespace UNIQUE (namespace),
  constraint access_accounts_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_accounts_pkey PRIMARY KEY (id),
  constraint access_accounts_source UNIQUE (source, external_id),
  constraint access_accounts_source_check CHECK ((source = ANY (ARRAY['local'::text, 'ldap'::text])))
);

create table access_authorities (
  certificate text not null,
  created_at timestamp with time zone not null,
  kind text not null,
  sealed_key text not null,
  constraint access_authorities_kind_check CHECK ((kind = ANY (ARRAY['client'::text, 'gateway'::text]))),
  constraint access_authorities_pkey PRIMARY KEY (kind)
);

create table access_changes (
  at timestamp with time zone default now() not null,
  change jsonb not null,
  version bigint not null,
  constraint access_changes_pkey PRIMARY KEY (version)
);

create table access_client_certificates (
  account_id uuid not null,
  cluster_id uuid,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  fingerprint text not null,
  id uuid not null,
  last_used_at timestamp with time zone,
  limits jsonb,
  name text not null,
  revoked_at timestamp with time zone,
  serial text not null,
  token_id uuid,
  constraint access_client_certificates_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_client_certificates_fingerprint_key UNIQUE (fingerprint),
  constraint access_client_certificates_pkey PRIMARY KEY (id),
  constraint access_client_certificates_serial_key UNIQUE (serial),
  constraint access_client_certificates_token_id_fkey FOREIGN KEY (token_id) REFERENCES access_tokens(id) ON DELETE SET NULL
);

create table access_collections (
  created_at timestamp with time zone default now() not null,
  id uuid not null,
  owner_id uuid,
  parent_id uuid,
  path text not null,
  version integer default 1 not null,
  constraint access_collections_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_collections_owner_id_key UNIQUE (owner_id),
  constraint access_collections_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES access_collections(id),
  constraint access_collections_path_key UNIQUE (path),
  constraint access_collections_pkey PRIMARY KEY (id)
);

create table access_directory (
  bind_dn text not null,
  bind_password_sealed text not null,
  ca_pem text,
  enabled boolean not null,
  filter text,
  id integer not null,
  options jsonb default '{}'::jsonb not null,
  search_base text not null,
  start_tls boolean not null,
  timeout_seconds integer not null,
  updated_at timestamp with time zone not null,
  url text not null,
  username_attribute text not null,
  version integer not null,
  constraint access_directory_pkey PRIMARY KEY (id)
);

create table access_directory_joins (
  organization_id uuid not null,
  user_id uuid not null,
  constraint access_directory_joins_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_directory_joins_pkey PRIMARY KEY (organization_id, user_id),
  constraint access_directory_joins_user_id_fkey FOREIGN KEY (user_id) REFERENCES access_accounts(id) ON DELETE CASCADE
);

create table access_directory_people (
  account_id uuid not null,
  dn text not null,
  left_at timestamp with time zone,
  left_reason text,
  username text not null,
  constraint access_directory_people_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_directory_people_check CHECK (((left_at IS NULL) = (left_reason IS NULL))),
  constraint access_directory_people_left_reason_check CHECK ((left_reason = ANY (ARRAY['disabled'::text, 'expired'::text, 'not-found'::text, 'out-of-scope'::text]))),
  constraint access_directory_people_pkey PRIMARY KEY (account_id)
);

create table access_directory_targets (
  error text,
  group_id text,
  id uuid not null,
  organization_id uuid,
  selection jsonb not null,
  synced_at timestamp with time zone,
  team_id uuid,
  updated_at timestamp with time zone not null,
  version integer default 1 not null,
  constraint access_directory_targets_check CHECK ((num_nonnulls(team_id, organization_id) = 1)),
  constraint access_directory_targets_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_directory_targets_organization_id_key UNIQUE (organization_id),
  constraint access_directory_targets_pkey PRIMARY KEY (id),
  constraint access_directory_targets_team_id_fkey FOREIGN KEY (team_id) REFERENCES access_teams(id) ON DELETE CASCADE,
  constraint access_directory_targets_team_id_key UNIQUE (team_id)
);

create table access_grants (
  collection_id uuid,
  created_at timestamp with time zone not null,
  created_by text not null,
  id uuid not null,
  repository_id uuid,
  role_id text not null,
  subject_id uuid not null,
  subject_kind text not null,
  constraint access_grants_check CHECK (((collection_id IS NULL) <> (repository_id IS NULL))),
  constraint access_grants_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES access_collections(id),
  constraint access_grants_once UNIQUE NULLS NOT DISTINCT (subject_id, role_id, collection_id, repository_id),
  constraint access_grants_pkey PRIMARY KEY (id),
  constraint access_grants_role_id_fkey FOREIGN KEY (role_id) REFERENCES access_roles(id),
  constraint access_grants_subject_kind_check CHECK ((subject_kind = ANY (ARRAY['user'::text, 'team'::text, 'organization'::text])))
);

create table access_members (
  created_at timestamp with time zone not null,
  organization_id uuid not null,
  role text not null,
  user_id uuid not null,
  constraint access_members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_members_pkey PRIMARY KEY (organization_id, user_id),
  constraint access_members_role_check CHECK ((role = ANY (ARRAY['member'::text, 'admin'::text]))),
  constraint access_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES access_accounts(id) ON DELETE CASCADE
);

create table access_placements (
  collection_id uuid not null,
  id text not null,
  kind text not null,
  constraint access_placements_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES access_collections(id),
  constraint access_placements_pkey PRIMARY KEY (kind, id)
);

create table access_role_versions (
  changed_at timestamp with time zone not null,
  changed_by text not null,
  description text not null,
  name text not null,
  operations jsonb not null,
  role_id text not null,
  version integer not null,
  constraint access_role_versions_pkey PRIMARY KEY (role_id, version),
  constraint access_role_versions_role_id_fkey FOREIGN KEY (role_id) REFERENCES access_roles(id) ON DELETE CASCADE
);

create table access_roles (
  built_in boolean not null,
  created_at timestamp with time zone not null,
  description text default ''::text not null,
  id text not null,
  name text not null,
  operations jsonb not null,
  version integer default 1 not null,
  constraint access_roles_name UNIQUE (name),
  constraint access_roles_pkey PRIMARY KEY (id)
);

create table access_second_factors (
  account_id uuid not null,
  confirmed_at timestamp with time zone,
  created_at timestamp with time zone not null,
  last_step bigint,
  recovery_hashes text[] default '{}'::text[] not null,
  secret_sealed text not null,
  constraint access_second_factors_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_second_factors_pkey PRIMARY KEY (account_id)
);

create table access_service_credentials (
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  id uuid not null,
  repository_ids uuid[] not null,
  revoked_at timestamp with time zone,
  secret_hash text not null,
  subject text not null,
  username text not null,
  constraint access_service_credentials_pkey PRIMARY KEY (id),
  constraint access_service_credentials_secret_hash_key UNIQUE (secret_hash),
  constraint access_service_credentials_username_key UNIQUE (username)
);

create table access_sessions (
  account_id uuid not null,
  address text,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  hash text not null,
  id uuid not null,
  last_used_at timestamp with time zone default now() not null,
  user_agent text,
  constraint access_sessions_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_sessions_hash_key UNIQUE (hash),
  constraint access_sessions_pkey PRIMARY KEY (id)
);

create table access_settings (
  default_role_id text not null,
  id integer not null,
  version integer default 1 not null,
  constraint access_settings_default_role_id_fkey FOREIGN KEY (default_role_id) REFERENCES access_roles(id),
  constraint access_settings_id_check CHECK ((id = 1)),
  constraint access_settings_pkey PRIMARY KEY (id)
);

create table access_sign_in_failures (
  count integer not null,
  key text not null,
  window_ends_at timestamp with time zone not null,
  constraint access_sign_in_failures_pkey PRIMARY KEY (key)
);

create table access_sync_holds (
  created_at timestamp with time zone not null,
  decided_at timestamp with time zone,
  decided_by text,
  expires_at timestamp with time zone not null,
  id uuid not null,
  members integer not null,
  name text not null,
  organization_id uuid,
  run_id uuid,
  scope text not null,
  state text not null,
  team_id uuid,
  user_ids uuid[] not null,
  constraint access_sync_holds_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_sync_holds_pkey PRIMARY KEY (id),
  constraint access_sync_holds_scope_check CHECK ((scope = ANY (ARRAY['team'::text, 'organization-admins'::text, 'system-admins'::text]))),
  constraint access_sync_holds_state_check CHECK ((state = ANY (ARRAY['open'::text, 'confirmed'::text, 'applied'::text, 'dropped'::text]))),
  constraint access_sync_holds_team_id_fkey FOREIGN KEY (team_id) REFERENCES access_teams(id) ON DELETE CASCADE
);

create table access_sync_log (
  at timestamp with time zone not null,
  code text not null,
  detail jsonb not null,
  level text not null,
  line integer not null,
  message text not null,
  run_id uuid not null,
  constraint access_sync_log_level_check CHECK ((level = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text]))),
  constraint access_sync_log_pkey PRIMARY KEY (run_id, line),
  constraint access_sync_log_run_id_fkey FOREIGN KEY (run_id) REFERENCES access_sync_runs(id) ON DELETE CASCADE
);

create table access_sync_runs (
  counts jsonb default '{}'::jsonb not null,
  created_at timestamp with time zone not null,
  dry_run boolean not null,
  error_code text,
  error_detail text,
  finished_at timestamp with time zone,
  id uuid not null,
  phase text,
  proposal_sealed text,
  reason text not null,
  requested_by text not null,
  started_at timestamp with time zone,
  state text not null,
  updated_at timestamp with time zone not null,
  constraint access_sync_runs_pkey PRIMARY KEY (id),
  constraint access_sync_runs_reason_check CHECK ((reason = ANY (ARRAY['request'::text, 'schedule'::text, 'hold'::text]))),
  constraint access_sync_runs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text])))
);

create table access_team_members (
  administers boolean not null,
  created_at timestamp with time zone not null,
  origin text not null,
  team_id uuid not null,
  user_id uuid not null,
  constraint access_team_members_origin_check CHECK ((origin = ANY (ARRAY['manual'::text, 'directory'::text]))),
  constraint access_team_members_pkey PRIMARY KEY (team_id, user_id, origin),
  constraint access_team_members_team_id_fkey FOREIGN KEY (team_id) REFERENCES access_teams(id) ON DELETE CASCADE,
  constraint access_team_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES access_accounts(id) ON DELETE CASCADE
);

create table access_teams (
  created_at timestamp with time zone not null,
  description text default ''::text not null,
  id uuid not null,
  name text not null,
  organization_id uuid not null,
  version integer default 1 not null,
  constraint access_teams_name UNIQUE (organization_id, name),
  constraint access_teams_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_teams_pkey PRIMARY KEY (id)
);

create table access_tokens (
  account_id uuid not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  hash text not null,
  id uuid not null,
  kind text not null,
  last_used_at timestamp with time zone,
  limits jsonb,
  name text not null,
  constraint access_tokens_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id) ON DELETE CASCADE,
  constraint access_tokens_hash_key UNIQUE (hash),
  constraint access_tokens_kind_check CHECK ((kind = ANY (ARRAY['personal'::text, 'robot'::text]))),
  constraint access_tokens_pkey PRIMARY KEY (id)
);

create table audit_checkpoints (
  at timestamp with time zone not null,
  hash text not null,
  key_id text not null,
  seq bigint not null,
  signature text not null,
  constraint audit_checkpoints_pkey PRIMARY KEY (seq)
);

create table audit_forwarding (
  changed_at timestamp with time zone default now() not null,
  confirmed_at timestamp with time zone,
  connected boolean default false not null,
  fault text,
  name text not null,
  seq bigint default 0 not null,
  constraint audit_forwarding_pkey PRIMARY KEY (name),
  constraint audit_forwarding_seq_check CHECK ((seq >= 0))
);

create table audit_removals (
  at timestamp with time zone not null,
  before timestamp with time zone not null,
  first_seq bigint not null,
  hash text not null,
  key_id text not null,
  last_seq bigint not null,
  signature text not null,
  constraint audit_removals_check CHECK (((first_seq > 0) AND (first_seq <= last_seq))),
  constraint audit_removals_first_seq_key UNIQUE (first_seq),
  constraint audit_removals_pkey PRIMARY KEY (last_seq)
);

create table audit_rows (
  action text not null,
  actor_id text,
  actor_kind text not null,
  actor_name text not null,
  address text,
  at timestamp with time zone not null,
  count integer not null,
  credential_id text,
  detail jsonb not null,
  hash text,
  id uuid not null,
  outcome text not null,
  request_id text not null,
  resource_id text,
  resource_kind text,
  resource_name text,
  seq bigint,
  constraint audit_rows_check CHECK (((seq IS NULL) = (hash IS NULL))),
  constraint audit_rows_count_check CHECK ((count > 0)),
  constraint audit_rows_outcome_check CHECK ((outcome = ANY (ARRAY['success'::text, 'refused'::text, 'failed'::text]))),
  constraint audit_rows_pkey PRIMARY KEY (id),
  constraint audit_rows_seq_check CHECK ((seq > 0)),
  constraint audit_rows_seq_key UNIQUE (seq)
);

create table clusters_clusters (
  api_version text not null,
  checked_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  endpoint jsonb not null,
  engine_version text not null,
  id uuid not null,
  name text not null,
  node_count integer not null,
  sealed_tls text,
  state text not null,
  state_detail text default ''::text not null,
  swarm_id text not null,
  version integer not null,
  watch text default 'flag'::text not null,
  watch_brake_count integer default 5 not null,
  watch_brake_percent integer default 50 not null,
  watch_brake_released_at timestamp with time zone,
  watch_braked_at timestamp with time zone,
  constraint clusters_clusters_brake_count CHECK (((watch_brake_count >= 1) AND (watch_brake_count <= 100000))),
  constraint clusters_clusters_brake_percent CHECK (((watch_brake_percent >= 1) AND (watch_brake_percent <= 100))),
  constraint clusters_clusters_pkey PRIMARY KEY (id),
  constraint clusters_clusters_state_check CHECK ((state = ANY (ARRAY['ready'::text, 'unreachable'::text, 'not-a-manager'::text]))),
  constraint clusters_clusters_watch CHECK ((watch = ANY (ARRAY['off'::text, 'flag'::text, 'quarantine'::text])))
);

create table clusters_engine_objects (
  cluster_id uuid not null,
  created_at timestamp with time zone not null,
  created_by uuid,
  engine_id text,
  id uuid not null,
  kind text not null,
  name text not null,
  node_id text default ''::text not null,
  constraint clusters_engine_objects_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_engine_objects_kind_check CHECK ((kind = ANY (ARRAY['container'::text, 'network'::text, 'volume'::text, 'service'::text, 'secret'::text, 'config'::text]))),
  constraint clusters_engine_objects_name UNIQUE (cluster_id, node_id, kind, name),
  constraint clusters_engine_objects_pkey PRIMARY KEY (id)
);

create table clusters_findings (
  changed_at timestamp with time zone not null,
  cluster_id uuid not null,
  detail text default ''::text not null,
  done text default ''::text not null,
  engine_id text not null,
  fault text default ''::text not null,
  first_seen timestamp with time zone not null,
  id uuid not null,
  image text not null,
  kind text not null,
  last_seen timestamp with time zone not null,
  name text not null,
  node_id text not null,
  note text default ''::text not null,
  reason text not null,
  state text not null,
  undo jsonb,
  constraint clusters_findings_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_findings_kind_check CHECK ((kind = ANY (ARRAY['container'::text, 'network'::text, 'volume'::text, 'service'::text, 'secret'::text, 'config'::text, 'image'::text]))),
  constraint clusters_findings_object UNIQUE (cluster_id, reason, kind, node_id, engine_id),
  constraint clusters_findings_pkey PRIMARY KEY (id),
  constraint clusters_findings_reason_check CHECK ((reason = ANY (ARRAY['unknown'::text, 'image-refused'::text]))),
  constraint clusters_findings_state_check CHECK ((state = ANY (ARRAY['seen'::text, 'baseline'::text, 'flagged'::text, 'acknowledged'::text, 'quarantined'::text, 'releasing'::text, 'owned'::text, 'gone'::text])))
);

create table clusters_made (
  account_id uuid,
  cluster_id uuid not null,
  engine_id text not null,
  how text not null,
  kind text not null,
  made_at timestamp with time zone not null,
  node_id text not null,
  constraint clusters_made_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_made_kind_check CHECK ((kind = ANY (ARRAY['image'::text, 'container'::text]))),
  constraint clusters_made_pkey PRIMARY KEY (cluster_id, node_id, kind, engine_id)
);

create table clusters_node_sets (
  cluster_id uuid not null,
  collections uuid[] not null,
  hash text not null,
  used_at timestamp with time zone not null,
  constraint clusters_node_sets_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_node_sets_pkey PRIMARY KEY (cluster_id, hash)
);

create table clusters_objects (
  cluster_id uuid not null,
  created_at timestamp with time zone default now() not null,
  engine_id text,
  kind text not null,
  name text not null,
  scope text not null,
  constraint clusters_objects_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_objects_kind_check CHECK ((kind = ANY (ARRAY['network'::text, 'secret'::text, 'config'::text, 'service'::text, 'volume'::text]))),
  constraint clusters_objects_pkey PRIMARY KEY (cluster_id, kind, name)
);

create table clusters_placed_nodes (
  cluster_id uuid not null,
  node_id text not null,
  constraint clusters_placed_nodes_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_placed_nodes_pkey PRIMARY KEY (cluster_id, node_id)
);

create table clusters_pull_credentials (
  cluster_id uuid not null,
  credential_id uuid not null,
  expires_at timestamp with time zone not null,
  holder_id uuid not null,
  repository_id uuid not null,
  sealed text not null,
  username text not null,
  constraint clusters_pull_credentials_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_pull_credentials_pkey PRIMARY KEY (cluster_id, holder_id, repository_id)
);

create table clusters_relay_calls (
  answer text,
  created_at timestamp with time zone default now() not null,
  id uuid not null,
  request text not null,
  constraint clusters_relay_calls_pkey PRIMARY KEY (id)
);

create table clusters_watched (
  cluster_id uuid not null,
  node_id text not null,
  since timestamp with time zone not null,
  constraint clusters_watched_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id) ON DELETE CASCADE,
  constraint clusters_watched_pkey PRIMARY KEY (cluster_id, node_id)
);

create table delivery_applications (
  account_id uuid not null,
  auto_redeploy jsonb,
  created_at timestamp with time zone default now() not null,
  id uuid not null,
  name text not null,
  version integer default 1 not null,
  constraint delivery_applications_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id),
  constraint delivery_applications_name_key UNIQUE (name),
  constraint delivery_applications_pkey PRIMARY KEY (id)
);

create table delivery_awaited (
  application_id uuid not null,
  created_at timestamp with time zone default now() not null,
  digest text not null,
  environment_id uuid not null,
  reason text not null,
  repository text not null,
  tag text not null,
  constraint delivery_awaited_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_awaited_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_awaited_pkey PRIMARY KEY (application_id, environment_id, repository)
);

create table delivery_credentials (
  application_id uuid not null,
  cluster_id uuid not null,
  credential_id uuid not null,
  environment_id uuid not null,
  expires_at timestamp with time zone not null,
  repository_id uuid not null,
  sealed text not null,
  service text not null,
  username text not null,
  constraint delivery_credentials_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_credentials_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_credentials_pkey PRIMARY KEY (cluster_id, service, repository_id)
);

create table delivery_deployments (
  actor jsonb not null,
  application_id uuid not null,
  cancel_requested boolean default false not null,
  cause text,
  cluster_id uuid not null,
  created_at timestamp with time zone default now() not null,
  deadline_at timestamp with time zone,
  environment_id uuid not null,
  finished_at timestamp with time zone,
  id uuid not null,
  images jsonb not null,
  origin text not null,
  plan_id uuid,
  planned boolean not null,
  previous_deployment_id uuid,
  reason jsonb,
  release_id uuid,
  request_id text not null,
  revision_id uuid,
  rollback_deadline_at timestamp with time zone,
  rollback_of uuid,
  started_at timestamp with time zone,
  state text not null,
  woken_at timestamp with time zone,
  constraint delivery_deployments_application_id_environment_id_cause_key UNIQUE (application_id, environment_id, cause),
  constraint delivery_deployments_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_deployments_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_deployments_origin_check CHECK ((origin = ANY (ARRAY['request'::text, 'hook'::text, 'push'::text, 'rollback'::text, 'renewal'::text]))),
  constraint delivery_deployments_pkey PRIMARY KEY (id),
  constraint delivery_deployments_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES delivery_plans(id),
  constraint delivery_deployments_previous_deployment_id_fkey FOREIGN KEY (previous_deployment_id) REFERENCES delivery_deployments(id),
  constraint delivery_deployments_release_id_fkey FOREIGN KEY (release_id) REFERENCES delivery_releases(id),
  constraint delivery_deployments_revision_id_fkey FOREIGN KEY (revision_id) REFERENCES delivery_revisions(id),
  constraint delivery_deployments_rollback_of_fkey FOREIGN KEY (rollback_of) REFERENCES delivery_deployments(id),
  constraint delivery_deployments_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'planning'::text, 'applying'::text, 'watching'::text, 'succeeded'::text, 'rolling-back'::text, 'rolled-back'::text, 'failed'::text, 'cancelled'::text, 'superseded'::text])))
);

create table delivery_environments (
  account_id uuid not null,
  cluster_id uuid not null,
  created_at timestamp with time zone default now() not null,
  id uuid not null,
  name text not null,
  variables jsonb not null,
  version integer default 1 not null,
  constraint delivery_environments_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id),
  constraint delivery_environments_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters_clusters(id),
  constraint delivery_environments_name_key UNIQUE (name),
  constraint delivery_environments_pkey PRIMARY KEY (id)
);

create table delivery_events (
  at timestamp with time zone default clock_timestamp() not null,
  data jsonb not null,
  deployment_id uuid not null,
  id bigint generated always as identity not null,
  type text not null,
  constraint delivery_events_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES delivery_deployments(id),
  constraint delivery_events_pkey PRIMARY KEY (id)
);

create table delivery_hook_deliveries (
  delivery_id text not null,
  deployment_id uuid not null,
  received_at timestamp with time zone default now() not null,
  trigger_id uuid not null,
  constraint delivery_hook_deliveries_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES delivery_deployments(id),
  constraint delivery_hook_deliveries_pkey PRIMARY KEY (trigger_id, delivery_id),
  constraint delivery_hook_deliveries_trigger_id_fkey FOREIGN KEY (trigger_id) REFERENCES delivery_triggers(id) ON DELETE CASCADE
);

create table delivery_plans (
  allowed boolean not null,
  application_id uuid not null,
  base_deployment_id uuid,
  changes jsonb not null,
  created_at timestamp with time zone default now() not null,
  created_by jsonb not null,
  environment_id uuid not null,
  expires_at timestamp with time zone not null,
  id uuid not null,
  inputs jsonb not null,
  notices jsonb not null,
  release_id uuid not null,
  stack jsonb not null,
  verdicts jsonb not null,
  constraint delivery_plans_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_plans_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_plans_pkey PRIMARY KEY (id),
  constraint delivery_plans_release_id_fkey FOREIGN KEY (release_id) REFERENCES delivery_releases(id)
);

create table delivery_releases (
  application_id uuid not null,
  created_at timestamp with time zone default now() not null,
  fingerprint text not null,
  id uuid not null,
  images jsonb not null,
  revision_id uuid not null,
  constraint delivery_releases_application_id_fingerprint_key UNIQUE (application_id, fingerprint),
  constraint delivery_releases_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_releases_pkey PRIMARY KEY (id),
  constraint delivery_releases_revision_id_fkey FOREIGN KEY (revision_id) REFERENCES delivery_revisions(id)
);

create table delivery_revisions (
  application_id uuid not null,
  compose text not null,
  created_at timestamp with time zone default now() not null,
  created_by jsonb not null,
  id uuid not null,
  number integer not null,
  warnings jsonb not null,
  constraint delivery_revisions_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_revisions_application_id_number_key UNIQUE (application_id, number),
  constraint delivery_revisions_pkey PRIMARY KEY (id)
);

create table delivery_secrets (
  application_id uuid not null,
  created_at timestamp with time zone default now() not null,
  environment_id uuid not null,
  name text not null,
  number integer not null,
  sealed text not null,
  constraint delivery_secrets_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_secrets_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_secrets_pkey PRIMARY KEY (application_id, environment_id, name, number)
);

create table delivery_steps (
  deployment_id uuid not null,
  finished_at timestamp with time zone,
  name text not null,
  object text not null,
  ordinal integer generated always as identity not null,
  phase text not null,
  result jsonb,
  started_at timestamp with time zone default now() not null,
  state text not null,
  wish jsonb not null,
  constraint delivery_steps_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES delivery_deployments(id),
  constraint delivery_steps_phase_check CHECK ((phase = ANY (ARRAY['apply'::text, 'rollback'::text]))),
  constraint delivery_steps_pkey PRIMARY KEY (deployment_id, phase, name, object),
  constraint delivery_steps_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text])))
);

create table delivery_triggers (
  application_id uuid not null,
  created_at timestamp with time zone default now() not null,
  created_by jsonb not null,
  environment_id uuid not null,
  id uuid not null,
  repository text,
  secret_sealed text not null,
  service text,
  constraint delivery_triggers_application_id_fkey FOREIGN KEY (application_id) REFERENCES delivery_applications(id),
  constraint delivery_triggers_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES delivery_environments(id),
  constraint delivery_triggers_pkey PRIMARY KEY (id)
);

create table platform_idempotency (
  actor text not null,
  body jsonb,
  created_at timestamp with time zone default now() not null,
  headers jsonb,
  key text not null,
  request_hash text not null,
  status integer,
  constraint platform_idempotency_pkey PRIMARY KEY (actor, key)
);

create table platform_leases (
  expires_at timestamp with time zone not null,
  fence bigint not null,
  holder uuid not null,
  name text not null,
  constraint platform_leases_pkey PRIMARY KEY (name)
);

create table platform_migrations (
  id integer default nextval('platform_migrations_id_seq'::regclass) not null,
  name character varying not null,
  "timestamp" bigint not null,
  constraint "PK_12605cbcffdfc96adaabf6dd33b" PRIMARY KEY (id)
);

create table platform_outbox (
  due_at timestamp with time zone default now() not null,
  id uuid not null,
  kind text not null,
  name text not null,
  payload jsonb not null,
  request_id text not null,
  constraint platform_outbox_kind_check CHECK ((kind = ANY (ARRAY['job'::text, 'event'::text]))),
  constraint platform_outbox_pkey PRIMARY KEY (id)
);

create table registry_events (
  actor_name text not null,
  at timestamp with time zone default now() not null,
  digest text not null,
  id uuid not null,
  repository_id uuid not null,
  tag text,
  type text not null,
  constraint registry_events_pkey PRIMARY KEY (id),
  constraint registry_events_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES registry_repositories(id) ON DELETE CASCADE,
  constraint registry_events_type_check CHECK ((type = ANY (ARRAY['pushed'::text, 'tag-deleted'::text, 'manifest-deleted'::text])))
);

create table registry_manifests (
  annotations jsonb,
  artifact_type text,
  config_digest text,
  content_bytes bigint not null,
  digest text not null,
  media_type text not null,
  pushed_at timestamp with time zone default now() not null,
  pushed_by text not null,
  repository_id uuid not null,
  size_bytes bigint not null,
  subject_digest text,
  constraint registry_manifests_pkey PRIMARY KEY (repository_id, digest),
  constraint registry_manifests_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES registry_repositories(id) ON DELETE CASCADE
);

create table registry_pushes (
  actor jsonb not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  digest text not null,
  facts jsonb not null,
  id uuid not null,
  repository_id uuid not null,
  request_id text not null,
  tag text,
  constraint registry_pushes_pkey PRIMARY KEY (id),
  constraint registry_pushes_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES registry_repositories(id) ON DELETE CASCADE
);

create table registry_repositories (
  account_id uuid not null,
  created_at timestamp with time zone default now() not null,
  deleting boolean default false not null,
  description text default ''::text not null,
  id uuid not null,
  immutable_tags boolean default false not null,
  name text not null,
  namespace text not null,
  path text default ((namespace || '/'::text) || name) not null,
  updated_at timestamp with time zone default now() not null,
  version integer default 1 not null,
  constraint registry_repositories_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id),
  constraint registry_repositories_path UNIQUE (path),
  constraint registry_repositories_pkey PRIMARY KEY (id)
);

create table registry_tags (
  digest text not null,
  name text not null,
  repository_id uuid not null,
  updated_at timestamp with time zone default now() not null,
  updated_by text not null,
  constraint registry_tags_pkey PRIMARY KEY (repository_id, name),
  constraint registry_tags_repository_id_digest_fkey FOREIGN KEY (repository_id, digest) REFERENCES registry_manifests(repository_id, digest) ON DELETE CASCADE,
  constraint registry_tags_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES registry_repositories(id) ON DELETE CASCADE
);

create table trust_evidence (
  bytes bytea not null,
  digest text not null,
  constraint trust_evidence_pkey PRIMARY KEY (digest)
);

create table trust_policies (
  claims jsonb default '{}'::jsonb not null,
  collection_id uuid default 
CASE
    WHEN (scope ~~ 'collection:%'::text) THEN (substr(scope, 12))::uuid
    ELSE NULL::uuid
END,
  created_at timestamp with time zone not null,
  id uuid not null,
  key_ids uuid[] not null,
  mode text not null,
  name text not null,
  repository_id uuid default 
CASE
    WHEN (scope ~~ 'repository:%'::text) THEN (substr(scope, 12))::uuid
    ELSE NULL::uuid
END,
  scope text not null,
  threshold integer not null,
  updated_at timestamp with time zone not null,
  version integer default 1 not null,
  constraint trust_policies_check CHECK (((mode = 'off'::text) OR (cardinality(key_ids) >= threshold))),
  constraint trust_policies_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES access_collections(id) ON DELETE CASCADE,
  constraint trust_policies_mode_check CHECK ((mode = ANY (ARRAY['off'::text, 'audit'::text, 'enforce'::text]))),
  constraint trust_policies_name UNIQUE (name),
  constraint trust_policies_pkey PRIMARY KEY (id),
  constraint trust_policies_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES registry_repositories(id) ON DELETE CASCADE,
  constraint trust_policies_scope UNIQUE (scope),
  constraint trust_policies_threshold_check CHECK ((threshold >= 1))
);

create table trust_signatures_seen (
  fingerprint text not null,
  first_seen_at timestamp with time zone not null,
  image_digest text not null,
  payload_digest text not null,
  constraint trust_signatures_seen_pkey PRIMARY KEY (image_digest, payload_digest, fingerprint)
);

create table trust_signing_keys (
  account_id uuid not null,
  algorithm text not null,
  can_sign boolean default (sealed_private IS NOT NULL) not null,
  created_at timestamp with time zone not null,
  fingerprint text not null,
  id uuid not null,
  name text not null,
  public_pem text not null,
  reason text,
  retired_at timestamp with time zone,
  revoked_at timestamp with time zone,
  sealed_private text,
  status text default 'active'::text not null,
  version integer default 1 not null,
  constraint trust_signing_keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES access_accounts(id),
  constraint trust_signing_keys_check CHECK (((status = 'revoked'::text) = (revoked_at IS NOT NULL))),
  constraint trust_signing_keys_check1 CHECK (((status <> 'retired'::text) OR (retired_at IS NOT NULL))),
  constraint trust_signing_keys_check2 CHECK (((status = 'active'::text) OR (sealed_private IS NULL))),
  constraint trust_signing_keys_fingerprint UNIQUE (fingerprint),
  constraint trust_signing_keys_name UNIQUE (name),
  constraint trust_signing_keys_pkey PRIMARY KEY (id),
  constraint trust_signing_keys_status_check CHECK ((status = ANY (ARRAY['active'::text, 'retired'::text, 'revoked'::text])))
);

create table trust_verdicts (
  allowed boolean not null,
  at timestamp with time zone not null,
  digest text not null,
  evidence jsonb,
  explanation text not null,
  findings jsonb not null,
  id uuid not null,
  keys jsonb not null,
  mode text not null,
  policy_id uuid,
  policy_version integer,
  reason text,
  repository text not null,
  request_id text not null,
  rule jsonb,
  scope text not null,
  signers text[] not null,
  constraint trust_verdicts_pkey PRIMARY KEY (id)
);

CREATE INDEX access_accounts_owner_id ON public.access_accounts USING btree (owner_id);

CREATE INDEX access_client_certificates_account_id ON public.access_client_certificates USING btree (account_id);

CREATE INDEX access_client_certificates_expires_at ON public.access_client_certificates USING btree (expires_at);

CREATE INDEX access_client_certificates_token_id ON public.access_client_certificates USING btree (token_id) WHERE (token_id IS NOT NULL);

CREATE INDEX access_collections_parent_id ON public.access_collections USING btree (parent_id);

CREATE INDEX access_directory_joins_user_id ON public.access_directory_joins USING btree (user_id);

CREATE INDEX access_grants_collection_id ON public.access_grants USING btree (collection_id);

CREATE INDEX access_grants_repository_id ON public.access_grants USING btree (repository_id);

CREATE INDEX access_grants_role_id ON public.access_grants USING btree (role_id);

CREATE INDEX access_members_user_id ON public.access_members USING btree (user_id);

CREATE INDEX access_placements_collection_id ON public.access_placements USING btree (collection_id);

CREATE INDEX access_service_credentials_subject ON public.access_service_credentials USING btree (subject);

CREATE INDEX access_sessions_account_id ON public.access_sessions USING btree (account_id);

CREATE INDEX access_sessions_expires_at ON public.access_sessions USING btree (expires_at);

CREATE INDEX access_sign_in_failures_window ON public.access_sign_in_failures USING btree (window_ends_at);

CREATE INDEX access_sync_holds_organization_id ON public.access_sync_holds USING btree (organization_id);

CREATE INDEX access_sync_holds_team_id ON public.access_sync_holds USING btree (team_id);

CREATE INDEX access_sync_holds_waiting ON public.access_sync_holds USING btree (expires_at) WHERE (state = ANY (ARRAY['open'::text, 'confirmed'::text]));

CREATE INDEX access_sync_runs_created_at ON public.access_sync_runs USING btree (created_at);

CREATE UNIQUE INDEX access_sync_runs_queued ON public.access_sync_runs USING btree (dry_run) WHERE (state = 'queued'::text);

CREATE INDEX access_team_members_user_id ON public.access_team_members USING btree (user_id);

CREATE INDEX access_tokens_account_id ON public.access_tokens USING btree (account_id);

CREATE INDEX audit_rows_by_action ON public.audit_rows USING btree (action text_pattern_ops, at, id);

CREATE INDEX audit_rows_by_actor_id ON public.audit_rows USING btree (actor_id, at, id);

CREATE INDEX audit_rows_by_actor_name ON public.audit_rows USING btree (actor_name, at, id);

CREATE INDEX audit_rows_by_bad_outcome ON public.audit_rows USING btree (outcome, at, id) WHERE (outcome <> 'success'::text);

CREATE INDEX audit_rows_by_resource_id ON public.audit_rows USING btree (resource_id, at, id);

CREATE INDEX audit_rows_by_resource_kind ON public.audit_rows USING btree (resource_kind, at, id);

CREATE INDEX audit_rows_by_resource_name ON public.audit_rows USING btree (resource_name, at, id);

CREATE INDEX audit_rows_newest ON public.audit_rows USING btree (at, id);

CREATE INDEX audit_rows_request_id ON public.audit_rows USING btree (request_id);

CREATE INDEX audit_rows_unsealed ON public.audit_rows USING btree (id) WHERE (seq IS NULL);

CREATE UNIQUE INDEX clusters_clusters_name ON public.clusters_clusters USING btree (name);

CREATE UNIQUE INDEX clusters_clusters_swarm ON public.clusters_clusters USING btree (swarm_id);

CREATE UNIQUE INDEX clusters_engine_objects_engine_id ON public.clusters_engine_objects USING btree (cluster_id, kind, engine_id) WHERE ((engine_id IS NOT NULL) AND (kind <> 'volume'::text));

CREATE INDEX clusters_engine_objects_named ON public.clusters_engine_objects USING btree (cluster_id, kind, name);

CREATE INDEX clusters_findings_listed ON public.clusters_findings USING btree (cluster_id, id);

CREATE INDEX clusters_findings_over ON public.clusters_findings USING btree (changed_at) WHERE (state = ANY (ARRAY['owned'::text, 'gone'::text]));

CREATE INDEX clusters_objects_engine_id ON public.clusters_objects USING btree (cluster_id, kind, engine_id);

CREATE INDEX clusters_pull_credentials_expiry ON public.clusters_pull_credentials USING btree (expires_at);

CREATE INDEX delivery_applications_account_id ON public.delivery_applications USING btree (account_id);

CREATE INDEX delivery_applications_auto_redeploy ON public.delivery_applications USING btree (((auto_redeploy ->> 'repository'::text))) WHERE (auto_redeploy IS NOT NULL);

CREATE INDEX delivery_awaited_digest ON public.delivery_awaited USING btree (repository, digest);

CREATE INDEX delivery_credentials_pair ON public.delivery_credentials USING btree (application_id, environment_id);

CREATE UNIQUE INDEX delivery_deployments_active ON public.delivery_deployments USING btree (application_id, environment_id) WHERE (state = ANY (ARRAY['planning'::text, 'applying'::text, 'watching'::text, 'rolling-back'::text]));

CREATE INDEX delivery_deployments_pair ON public.delivery_deployments USING btree (application_id, environment_id, id DESC);

CREATE INDEX delivery_deployments_unfinished ON public.delivery_deployments USING btree (id) WHERE (finished_at IS NULL);

CREATE INDEX delivery_environments_account_id ON public.delivery_environments USING btree (account_id);

CREATE INDEX delivery_environments_cluster_id ON public.delivery_environments USING btree (cluster_id);

CREATE INDEX delivery_events_deployment ON public.delivery_events USING btree (deployment_id, id);

CREATE INDEX delivery_hook_deliveries_received_at ON public.delivery_hook_deliveries USING btree (received_at);

CREATE INDEX delivery_plans_pair ON public.delivery_plans USING btree (application_id, environment_id);

CREATE INDEX delivery_triggers_application_id ON public.delivery_triggers USING btree (application_id);

CREATE INDEX platform_idempotency_created_at ON public.platform_idempotency USING btree (created_at);

CREATE INDEX registry_events_repository ON public.registry_events USING btree (repository_id, id);

CREATE INDEX registry_manifests_subject ON public.registry_manifests USING btree (repository_id, subject_digest) WHERE (subject_digest IS NOT NULL);

CREATE INDEX registry_pushes_created_at ON public.registry_pushes USING btree (created_at);

CREATE INDEX registry_repositories_account_id ON public.registry_repositories USING btree (account_id);

CREATE INDEX registry_tags_digest ON public.registry_tags USING btree (repository_id, digest);

CREATE INDEX trust_policies_collection_id ON public.trust_policies USING btree (collection_id);

CREATE INDEX trust_policies_key_ids ON public.trust_policies USING gin (key_ids);

CREATE INDEX trust_policies_repository_id ON public.trust_policies USING btree (repository_id);

CREATE INDEX trust_signing_keys_account_id ON public.trust_signing_keys USING btree (account_id);

CREATE INDEX trust_verdicts_at ON public.trust_verdicts USING btree (at);

CREATE INDEX trust_verdicts_digest ON public.trust_verdicts USING btree (digest, id);

CREATE OR REPLACE FUNCTION public.audit_allow_retention()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
      begin
        if old.seq is null or not exists (
          select 1 from audit_removals r join audit_checkpoints c on c.seq = r.last_seq and c.hash = r.hash where r.last_seq >= old.seq and r.first_seq <= old.seq) then
          raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
        end if;
        return old;
      end $function$
;

CREATE OR REPLACE FUNCTION public.audit_allow_sealing()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
      begin
        if old.seq is not null or to_jsonb(new) - 'seq' - 'hash' is distinct from to_jsonb(old) - 'seq' - 'hash' then
          raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
        end if;
        return new;
      end $function$
;

CREATE OR REPLACE FUNCTION public.audit_refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
      begin
        raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
      end $function$
;

CREATE OR REPLACE FUNCTION public.clusters_one_owner()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
      end $function$
;

CREATE OR REPLACE FUNCTION public.clusters_tell_objects()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
      begin
        if (select count(*) from (select 1 from changed limit 101) as counted) > 100 then
          perform pg_notify('gantry_engine_objects', cluster_id::text) from (select distinct cluster_id from changed) as clusters;
        elsif tg_table_name = 'clusters_objects' then
          perform pg_notify('gantry_engine_objects', cluster_id || case when octet_length(name) > 1000 then '' else ' delivery ' || kind || ' ' || name end) from changed;
        else
          perform pg_notify('gantry_engine_objects', cluster_id || ' own ' || id) from changed;
        end if;
        return null;
      end $function$
;

CREATE TRIGGER audit_checkpoints_change BEFORE DELETE OR UPDATE ON public.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();

CREATE TRIGGER audit_checkpoints_truncate BEFORE TRUNCATE ON public.audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

CREATE TRIGGER audit_removals_change BEFORE DELETE OR UPDATE ON public.audit_removals FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();

CREATE TRIGGER audit_removals_truncate BEFORE TRUNCATE ON public.audit_removals FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

CREATE TRIGGER audit_rows_delete BEFORE DELETE ON public.audit_rows FOR EACH ROW EXECUTE FUNCTION audit_allow_retention();

CREATE TRIGGER audit_rows_truncate BEFORE TRUNCATE ON public.audit_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

CREATE TRIGGER audit_rows_update BEFORE UPDATE ON public.audit_rows FOR EACH ROW EXECUTE FUNCTION audit_allow_sealing();

CREATE TRIGGER clusters_engine_objects_one_owner BEFORE INSERT ON public.clusters_engine_objects FOR EACH ROW EXECUTE FUNCTION clusters_one_owner();

CREATE TRIGGER clusters_engine_objects_tell_delete AFTER DELETE ON public.clusters_engine_objects REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();

CREATE TRIGGER clusters_engine_objects_tell_insert AFTER INSERT ON public.clusters_engine_objects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();

CREATE TRIGGER clusters_engine_objects_tell_update AFTER UPDATE ON public.clusters_engine_objects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();

CREATE TRIGGER clusters_objects_one_owner BEFORE INSERT ON public.clusters_objects FOR EACH ROW EXECUTE FUNCTION clusters_one_owner();

CREATE TRIGGER clusters_objects_tell_delete AFTER DELETE ON public.clusters_objects REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();

CREATE TRIGGER clusters_objects_tell_insert AFTER INSERT ON public.clusters_objects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();

CREATE TRIGGER clusters_objects_tell_update AFTER UPDATE ON public.clusters_objects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION clusters_tell_objects();
