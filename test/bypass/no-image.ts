import { type Attempt, container, each, references, texts, updateService, v } from './book';

export const attempt: Attempt = {
  title: 'make a container without an image, and fill it by hand',
  source: 'what names no image is judged by no policy; an engine makes a container with an empty root of it',
  async try(world) {
    const body = JSON.stringify(container(world)).replace(JSON.stringify(world.images.signed), '""');
    return [
      ...(await texts(world, [body, body.replace('"Image":""', '"Image":null'), body.replace('"Image":"",', '')].flatMap((text) => [text,
        text.replace('{', '{"Cmd":["/bin/sh"],'), text.replace('{', '{"Entrypoint":["/x"],'), text.replace('{',
        '{"Cmd":"/bin/sh","User":"0",')]))),
      ...(await references(world, ['', ' '])), ...(await each([{}, { ContainerSpec: null }, { ContainerSpec: {} },
        { ContainerSpec: { Command: ['x'] } }], (TaskTemplate) => world.call('POST', `${v}/services/create`,
        { Name: `tried-${world.count()}`, TaskTemplate }))),
      await updateService(world, { Image: null }), await updateService(world, { Image: '' }),
    ];
  },
};
