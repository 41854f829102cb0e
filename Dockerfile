# Caddy with the webhook gateway, from this checkout:
#
#	docker build -t webhook-gateway .
#
# xcaddy.md says how to run it.
ARG CADDY_VERSION=2.11.9

FROM caddy:${CADDY_VERSION}-builder AS builder
ARG CADDY_VERSION
WORKDIR /src
COPY . .
RUN xcaddy build "v${CADDY_VERSION}" \
	--with github.com/tengineai/webhook-gateway=/src \
	--output /usr/bin/caddy \
	&& caddy list-modules | grep -q '^webhook_gateway$'

FROM caddy:${CADDY_VERSION}
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
# Events, deliveries and the key that seals secrets. Losing it loses them.
VOLUME /data
