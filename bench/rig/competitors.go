package rig

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/proxyimage/oci"
)

// The configurations of the competitors. They serve the same hosts as ours, and only those.
var (
	//go:embed nginx.conf.tmpl
	nginxText string
	//go:embed haproxy.cfg.tmpl
	stockText string

	nginxTemplate = template.Must(template.New("nginx").Parse(nginxText))
	stockTemplate = template.Must(template.New("haproxy").Parse(stockText))
)

// competitor is what their templates see.
type competitor struct {
	Tuned          bool
	Dir, Module    string // nginx only
	Address        netip.Addr
	Hosts          []string
	MaxConnections int // as ours computes it from the limit on open files
	Files          uint64
}

// localDNS is where a competitor asks for names: a name server beside it, as a cache would be.
var localDNS = netip.MustParseAddr("127.0.0.1")

// MaxConnections is how many connections a proxy can hold under this machine's limit on open files: two files each, and a
// tenth for the rest.
func MaxConnections() (int, error) {
	files, err := openFiles()
	return int(files * 10 / 22), err
}

func openFiles() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit on open files: %w", err)
	}
	return min(limit.Max, 1<<20), nil
}

func (t *Target) write(text *template.Template, to string, c competitor) error {
	connections, err := MaxConnections()
	if err != nil {
		return err
	}
	if c.Files, err = openFiles(); err != nil {
		return err
	}
	c.Address, c.MaxConnections = t.address, connections
	c.Hosts = slices.Sorted(maps.Keys(origins))
	var out bytes.Buffer
	if err := text.Execute(&out, c); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// startNginx runs Debian's nginx from its unpacked packages.
func (t *Target) startNginx(ctx context.Context) (daemon.Daemon, error) {
	root, err := nginxPackages(ctx, t.rig.Cache)
	if err != nil {
		return daemon.Daemon{}, err
	}
	if err := t.rig.startDNS(ctx, t.host, localDNS); err != nil {
		return daemon.Daemon{}, err
	}
	config := filepath.Join(t.dir(), "nginx.conf")
	err = t.write(nginxTemplate, config, competitor{
		Tuned: t.Kind == NginxTuned, Dir: t.dir(), Module: filepath.Join(root, "usr/lib/nginx/modules/ngx_stream_module.so"),
	})
	if err != nil {
		return daemon.Daemon{}, err
	}
	var libraries []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are constant and good
		libraries = append(libraries, found...)
	}
	if len(libraries) == 0 {
		return daemon.Daemon{}, fmt.Errorf("%s: holds no libraries; remove it to fetch the packages again", root)
	}
	return daemon.Start(daemon.Spec{
		Name: "nginx", StateDir: t.dir(), Namespace: t.rig.name(t.host), Path: filepath.Join(root, "usr/sbin/nginx"),
		Args: []string{"-c", config, "-e", filepath.Join(t.dir(), "nginx.log")}, Env: []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")},
	})
}

// startStock runs the image's HAProxy without our agent and configuration.
func (t *Target) startStock(ctx context.Context) (daemon.Daemon, error) {
	if err := t.rig.startDNS(ctx, t.host, localDNS); err != nil {
		return daemon.Daemon{}, err
	}
	config := filepath.Join(t.dir(), "config")
	if err := t.write(stockTemplate, filepath.Join(config, "haproxy.cfg"), competitor{}); err != nil {
		return daemon.Daemon{}, err
	}
	return container.Start(t.rig.Labd, container.Spec{
		Name: "haproxy", StateDir: t.dir(), Namespace: t.rig.name(t.host), Rootfs: t.rig.Rootfs,
		Args: []string{"/usr/sbin/haproxy", "-W", "-f", routesDir + "/haproxy.cfg"}, UID: oci.User, GID: oci.User,
		Mounts: []container.Mount{{Source: config, Target: routesDir, ReadOnly: true}},
	})
}

// arch is Debian's name of this machine's architecture, the same as Go's for those that we build for.
const arch = runtime.GOARCH
