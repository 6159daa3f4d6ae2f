// Command probe stands in for the program of an image in tests: it says what it finds inside its container as one line of JSON,
// then waits for SIGTERM.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

type report struct {
	PID, UID, GID int
	Groups        []int
	Env           []string
	Hostname      string
	NoFile        uint64
	Status        map[string]string // lines of /proc/self/status
	Mounts        []string          // mount points
	Options       map[string]string // mount point -> options of the mount
	Root          []string          // names in /
	Processes     int
	Writable      map[string]string // path -> "" or why not
	Listen443     string
	NetNS         string
	Sysctl        string
	Files         map[string]string // content of mounted files
	OpenFiles     int
}

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	r := report{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ(),
		Status: map[string]string{}, Writable: map[string]string{}, Files: map[string]string{}, Options: map[string]string{}}
	r.Groups, _ = os.Getgroups()
	r.Hostname, _ = os.Hostname()
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	r.NoFile = limit.Max
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			r.Status[key] = strings.TrimSpace(value)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		r.Mounts = append(r.Mounts, fields[4])
		r.Options[fields[4]] = fields[5]
	}
	for _, entry := range names("/") {
		r.Root = append(r.Root, entry)
	}
	for _, entry := range names("/proc") {
		if entry[0] >= '0' && entry[0] <= '9' {
			r.Processes++
		}
	}
	for _, dir := range []string{"/", "/etc", "/tmp", "/run/sallyport", "/var/lib/sallyport", "/etc/sallyport/routes", "/dev", "/dev/shm"} {
		r.Writable[dir] = message(os.WriteFile(dir+"/probe", []byte("x"), 0o600))
	}
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	r.Writable["/dev/null"] = message(err)
	null.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:443")
	r.Listen443 = message(err)
	if err == nil {
		listener.Close()
	}
	r.NetNS, _ = os.Readlink("/proc/self/ns/net")
	sysctl, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	r.Sysctl = strings.Join(strings.Fields(string(sysctl)), " ")
	routes, _ := os.ReadFile("/etc/sallyport/routes/routes.json")
	r.Files["routes"] = string(routes)
	r.OpenFiles = len(names("/proc/self/fd"))
	json.NewEncoder(os.Stdout).Encode(r)
	if len(os.Args) > 1 && os.Args[1] == "stay" {
		<-stop
		fmt.Println("terminated")
	}
}

func names(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
