import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReasonCode } from '../src/formats/findings';
import { MemoryEvidence } from './memory-evidence';

/** What one recorded repository is and what is expected of it. Written by `test/fixtures/make.mjs`. */
export interface FixtureCase {
  name: string;
  about: string;
  image: { digest: string; mediaType: string; sizeBytes: number };
  tags: Record<string, string>;
  /** Media type of each manifest, by digest. */
  manifests: Record<string, string>;
  blobs: string[];
  /** Names of the keys whose signature must be found, one entry a signature. */
  signers: string[];
  /** Reasons of the candidates that must be refused. */
  refused: ReasonCode[];
  claims: Record<string, string>;
  /** What `cosign verify --key` said of the same repository, by key and cosign version. */
  cosign: Record<string, Record<string, boolean>>;
}

/** The whole record. */
export interface FixtureIndex {
  tools: Record<string, { version: string; debVersion: string; sha256: string | null }>;
  /** Public key PEM by name. */
  keys: Record<string, string>;
  /** Encrypted private keys as each cosign wrote them, of throw-away keys, with their password and public key. */
  sealedKeys: Record<string, { pem: string; password: string; publicKey: string }>;
  cases: FixtureCase[];
}

const HOME = join(__dirname, '..', 'test', 'fixtures');

/** Reads the record of what real cosign wrote. */
export function readFixtures(): FixtureIndex {
  return JSON.parse(readFileSync(join(HOME, 'index.json'), 'utf8')) as FixtureIndex;
}

/** The repository of one case, byte for byte. */
export function fixtureEvidence(fixture: FixtureCase): MemoryEvidence {
  const evidence = new MemoryEvidence();
  const read = (digest: string): Buffer => readFileSync(join(HOME, 'raw', digest.replace('sha256:', '')));
  for (const [digest, mediaType] of Object.entries(fixture.manifests)) evidence.addManifest(mediaType, read(digest));
  for (const digest of fixture.blobs) evidence.addBlob(read(digest));
  for (const [tag, digest] of Object.entries(fixture.tags)) evidence.tags.set(tag, digest);
  return evidence;
}
