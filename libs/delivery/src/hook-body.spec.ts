import { Problem } from '@gantry/platform';
import { parseHookBody } from './hook-body';

const digest = `sha256:${'b'.repeat(64)}`;

function pointers(body: unknown): string[] {
  try {
    parseHookBody(body);
  } catch (error) {
    if (error instanceof Problem) return error.errors.map(({ pointer }) => pointer);
    throw error;
  }
  return [];
}

describe('parseHookBody', () => {
  it('reads our own form', () => {
    expect(parseHookBody({ repository: 'acme/web', tag: '1.2' })).toEqual({ repository: 'acme/web', tag: '1.2', digest: null });
    expect(parseHookBody({ repository: 'acme/web', tag: '1.2', digest })).toEqual({ repository: 'acme/web', tag: '1.2', digest });
  });

  it('reads what Docker Hub sends, with all that is beside it', () => {
    const hub = {
      callback_url: 'https://registry.hub.docker.com/u/acme/web/hook/21/',
      push_data: { pushed_at: 1_417_566_161, pusher: 'trustedbuilder', tag: 'latest', images: [] },
      repository: { comment_count: 0, name: 'web', namespace: 'acme', repo_name: 'acme/web', star_count: 0, status: 'Active' },
    };
    expect(parseHookBody(hub)).toEqual({ repository: 'acme/web', tag: 'latest', digest: null });
  });

  it.each([
    [null, ['']], ['text', ['']], [{}, ['/repository', '/tag']], [{ repository: 'acme/web' }, ['/tag']], [{ repository: 'web', tag: '1' }, ['/repository']],
    [{ repository: 'acme/web', tag: '1', digest: 'sha256:1' }, ['/digest']], [{ repository: 'acme/web', tag: '1', more: 1 }, ['/more']],
    [{ repository: { repo_name: 'acme/web' } }, ['/push_data']], [{ repository: { repo_name: 7 }, push_data: { tag: 'x y' } }, ['/repository/repo_name', '/push_data/tag']],
    [{ repository: '../../x/y', tag: '1' }, ['/repository']],
  ])('names the field at fault in %j', (body, expected) => {
    expect(pointers(body)).toEqual(expected);
  });
});
