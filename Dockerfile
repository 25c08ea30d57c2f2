# One image for every role: `docker run … api`, `worker`, `gateway`, `migrate`, or any other operator's command.
# No BuildKit-only syntax, so that the classic builder (DOCKER_BUILDKIT=0) builds it too.

# What runs: no development dependencies, and none of the optional ones (embedded PostgreSQL, native speed-ups). Nothing of any dependency
# needs its install script here, so none is run.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-progress --loglevel=error

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-progress --loglevel=error
COPY . .
RUN node scripts/build.mjs

FROM node:24-bookworm-slim
ENV NODE_ENV=production
# The number is fixed because files that are mounted into the container are given to it by number.
RUN groupadd --gid 10001 gantry \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gantry \
 && install -d -o 10001 -g 10001 -m 0700 /run/gantry
WORKDIR /app
COPY --from=dependencies /app ./
COPY --from=build /app/bin ./bin
COPY --from=build /app/dist ./dist
USER 10001:10001
EXPOSE 8080 5000 2376
ENTRYPOINT ["node", "--enable-source-maps", "bin/gantry.js"]
CMD ["help"]
