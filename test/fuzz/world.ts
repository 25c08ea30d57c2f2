import type { Things } from '../bypass/book';
import type { Peer } from './wire';

/** Which rules hold for an account: what may come of its requests is judged by them, and by nothing that the gateway says. */
export interface Account {
  name: string;
  /** Collections in which it may make things, by path; true: options that reach the host are allowed there. */
  collections: Readonly<Record<string, boolean>>;
  /** How it connects: with a client certificate, or without one and with a token in each request. */
  peer: Peer;
  token: string | null;
  /** What it has; null: it does not see the cluster. Made anew where it is gone. */
  own: Own | null;
  /** Its repository in the managed registry, to which nobody else may push; with the host's name. */
  repository: string;
  /** What a client sends along to push with: the account's name and password. */
  registryAuth: string;
  /** Execs that it has made and may start. */
  execs: string[];
}

/** An account's own things, some of them older than the requests. */
export interface Own {
  container: { id: string; name: string };
  network: { id: string; name: string };
  volume: string;
  secret: { id: string; name: string };
  config: { id: string; name: string };
  service: { id: string; name: string };
  task: string;
  exec: string;
  /** `Version.Index` by id. */
  versions: Record<string, number>;
}

/** What requests are made of. */
export interface Pool {
  /** Host and port of the gateway. */
  address: string;
  /** Host and port of the managed registry. */
  registry: string;
  /** Images by reference. `others` may not run, or not be known. */
  images: { signed: string; signedDigest: string; others: readonly string[] };
  /** Nobody of the accounts may know of these. */
  foreign: readonly Things[];
  accounts: readonly Account[];
  node: string;
  /** Folders and files of the host that may be mounted without harm where a rule fails. */
  host: { folder: string };
  /** Grows with each batch, so that names of what was made and removed behind Gantry's back are not asked for again. */
  batch: number;
  /** A tar archive with one small file. */
  archive: Buffer;
  /** What may be built, and what may not. */
  contexts: { plain: readonly Buffer[]; tricky: readonly Buffer[] };
}
