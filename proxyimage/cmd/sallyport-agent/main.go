// Command sallyport-agent is process 1 of the proxy image. It is configured by environment variables:
//
//	SALLYPORT_MODE             passthrough (default): HAProxy on a proxy; pool: HAProxy that pools; resolver: DNS on a node
//	SALLYPORT_ROUTES           file://, s3:// or gs:// URL, file:///etc/sallyport/routes/routes.json
//	SALLYPORT_ROUTES_POLL      how often an object (s3://, gs://) is asked for, 5s
//	SALLYPORT_STATE_DIR        last good copies and maps, /var/lib/sallyport
//	SALLYPORT_RUN_DIR          sockets, /run/sallyport
//	SALLYPORT_DNS_SERVERS      recursive servers, ip[:port],... (required)
//	SALLYPORT_HTTP_LISTEN      /readyz, /healthz, /metrics, :8404 (resolver: 127.0.0.1:8405)
//	SALLYPORT_DRAIN            longest time from SIGTERM to the end, 30s
//	SALLYPORT_PROBE_INTERVAL   how often resolvers ask a proxy for its health, 500ms
//	SALLYPORT_LOG_LEVEL        debug, info, warn or error, info
//	SALLYPORT_CLOUDWATCH       stack=<stack>,zone=<zone>,slot=<slot>: figures once a minute as lines of the log, for CloudWatch, none
//	SALLYPORT_LISTEN           passthrough: address of the frontends, all
//	SALLYPORT_SOURCE_IPS       passthrough: source addresses, the kernel's choice
//	SALLYPORT_IDLE_TIMEOUT     end of a connection without traffic, passthrough: 1h, pool: 5m, at most 340s
//	SALLYPORT_THREADS          passthrough: threads of HAProxy, 1
//	SALLYPORT_MAX_CONNECTIONS  passthrough: 0 = from the limit on open files, at most 100,000
//	SALLYPORT_CLIENT_CONNECTIONS  passthrough, pool: connections that one client address may have open, 0 = any number
//	SALLYPORT_AUDIT            passthrough: true forwards what the list and the limits would refuse, and says so, false
//	SALLYPORT_ACCESS_LOG_SAMPLE  share of connections that are logged, 0 to 1, 0
//	SALLYPORT_HAPROXY          passthrough: the program, /usr/sbin/haproxy
//	SALLYPORT_POOL_PORT        pool: listening port for plain HTTP/1.1 and h2c, 8080
//	SALLYPORT_CA_FILE          pool: authorities for routes that name none, /etc/ssl/certs/ca-certificates.crt
//	SALLYPORT_POOL_UPSTREAM    pool: direct, or fleet: through the proxies of the routes document, which look hosts up, direct
//	SALLYPORT_REQUESTS_PER_CONNECTION  pool: a client connection ends after so many, up to a quarter earlier; HTTP/2: see recycle.go, 1000
//	SALLYPORT_SERVICE_DOMAIN   pool: clients may call a route with one exact host <name>.<domain>, egress.svc.cluster.local
//	SALLYPORT_FORWARDED_HEADERS  pool: true sends X-Forwarded-For and -Proto, false removes those of clients too, false
//	SALLYPORT_DNS_LISTEN       resolver: UDP and TCP, 127.0.0.1:9053
//
// It exits with 0 after SIGTERM, 2 if the settings are wrong, else 1.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/sallyport/sallyport/proxyimage/agent"
)

func main() {
	err := agent.Run(os.LookupEnv, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "sallyport-agent: %v\n", err)
	var settings *agent.SettingsError
	if errors.As(err, &settings) {
		os.Exit(2)
	}
	os.Exit(1)
}
