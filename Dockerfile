# A static binary in an empty image: no shell, no package manager, no root.
# Time zones and certificate authorities are inside the binary.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t pgcrm .
#   docker run --read-only -e PGCRM_DATABASE_URL=... -e HUBSPOT_ACCESS_TOKEN=... \
#     -v ./pgcrm.yaml:/etc/pgcrm/pgcrm.yaml:ro -p 127.0.0.1:9847:9847 pgcrm

# The compiler runs on the machine's own architecture, whatever it builds for.
FROM --platform=$BUILDPLATFORM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/pgcrm/pgcrm/cli.version=$VERSION" -o /out/pgcrm .

FROM scratch
COPY --from=build /out/pgcrm /pgcrm
# pgcrm.yaml is looked for here.
WORKDIR /etc/pgcrm
# A container's loopback cannot be reached from outside of it.
ENV PGCRM_LISTEN=:9847
EXPOSE 9847
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/pgcrm", "healthcheck"]
ENTRYPOINT ["/pgcrm"]
CMD ["run"]
