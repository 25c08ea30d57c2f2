import { parseStrictJson, RawNumber, StrictJsonError, type StrictJson } from '@gantry/platform';
import type { ImageEvidence } from '@gantry/registry';

type Json = StrictJson<RawNumber>;
type Evidence = Pick<ImageEvidence, 'manifestByDigest' | 'blob'>;

const maxConfigBytes = 4 * 1024 * 1024;
const maxPlatforms = 64;

/**
 * What an image makes a build do that begins with it (`ONBUILD`), on any of its platforms; null where engines could read its manifest or
 * configuration otherwise than it is read here, or where a part of it is not there.
 */
export async function triggersOf(evidence: Evidence, digest: string): Promise<string[] | null> {
  try {
    return await read(evidence, digest);
  } catch (error) {
    if (error instanceof Unclear || error instanceof StrictJsonError) return null;
    throw error;
  }
}

/** What engines might read otherwise than we do. */
class Unclear extends Error {}

async function read(evidence: Evidence, digest: string): Promise<string[]> {
  const manifest = await readManifest(evidence, digest);
  if (!manifest) throw new Unclear('there is no manifest');
  const list = member(manifest, 'manifests');
  if (list !== undefined && (!Array.isArray(list) || list.length > maxPlatforms || member(manifest, 'config') !== undefined)) throw new Unclear('neither an index nor an image');
  const triggers = new Set<string>();
  for (const each of list === undefined ? [digest] : list.map((part) => member(part, 'digest'))) {
    const image = list === undefined ? manifest : typeof each === 'string' ? await readManifest(evidence, each) : null;
    if (!image) throw new Unclear('a platform is missing');
    const at = member(member(image, 'config'), 'digest');
    const bytes = typeof at === 'string' ? await evidence.blob(at, maxConfigBytes) : null;
    if (!bytes) throw new Unclear('there is no configuration');
    const found = member(member(parseStrictJson(bytes, { numbers: 'source', maxBytes: maxConfigBytes }), 'config'), 'OnBuild') ?? [];
    if (!Array.isArray(found)) throw new Unclear('no list');
    for (const trigger of found) {
      if (typeof trigger !== 'string') throw new Unclear('no text');
      triggers.add(trigger);
    }
  }
  return [...triggers];
}

async function readManifest(evidence: Evidence, digest: string): Promise<Json | null> {
  const manifest = await evidence.manifestByDigest(digest);
  return manifest && parseStrictJson(manifest.bytes, { numbers: 'source', maxBytes: maxConfigBytes });
}

/** A member by its name; engines would take another one that differs in case alone. */
function member(from: Json | undefined, name: string): Json | undefined {
  if (typeof from !== 'object' || from === null || Array.isArray(from) || from instanceof RawNumber) return undefined;
  const [found, ...more] = Object.keys(from).filter((key) => key.toLowerCase() === name.toLowerCase());
  if (more.length > 0 || (found !== undefined && found !== name)) throw new Unclear(`another spelling of ${name}`);
  return found === undefined ? undefined : from[found];
}
