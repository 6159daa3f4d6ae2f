package awshost

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/proxyimage"
)

var digest = "@sha256:" + strings.Repeat("0123456789abcdef", 4)

func example() Host {
	return Host{
		Region: "eu-west-1", Image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sallyport/proxy" + digest,
		LogGroup: "/sallyport/prod", LogStream: "proxy-eu-west-1a-1", ReadySeconds: 180, ListenPorts: []int{443, 8443}, Seccomp: proxyimage.Seccomp,
		Agent: proxyfleet.Agent{
			RoutesURL: "s3://sallyport-prod-routes/routes.json?region=eu-west-1", DNSServers: []string{ResolverAddress},
			SourceIPs: []string{"10.0.1.10", "10.0.1.11"}, DrainSeconds: 30, MaxConnections: 50000, Threads: 2,
			Metrics: &proxyfleet.Dimensions{Stack: "prod", Zone: "eu-west-1a", Slot: "proxy-eu-west-1a-1"},
		},
	}
}

func TestUserData(t *testing.T) {
	text, err := example().UserData()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "user-data.golden", text)
	if len(text) > MaxUserData*9/10 {
		t.Errorf("user data has %d bytes; of %d a tenth should stay free for settings", len(text), MaxUserData)
	}
	for _, secret := range []string{"AKIA", "ASIA", "BEGIN ", "password", "aws_secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("user data has %q in it: everybody on the machine can read it", secret)
		}
	}
}

func TestAnImageFromElsewhereNeedsNoLogin(t *testing.T) {
	h := example()
	h.Image = "registry.example.com/egress/proxy" + digest
	text, err := h.UserData()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "ExecStartPre=/opt/sallyport/login.sh") || strings.Contains(text, "ECR=") || !strings.Contains(text, "ExecStartPre=/opt/sallyport/guard.sh") {
		t.Error("the unit must not log in to ECR for an image that lies elsewhere")
	}
}

func TestRegistriesOfOtherPartitions(t *testing.T) {
	for image, want := range map[string]string{
		"123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/a": "https://api.ecr.us-gov-west-1.amazonaws.com\n",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a": "https://api.ecr.cn-north-1.amazonaws.com.cn\n",
	} {
		h := example()
		h.Image = image + digest
		if got := h.environment(); !strings.Contains(got, "ECR="+want) {
			t.Errorf("%s: got\n%s", image, got)
		}
	}
}

// What cloud-init reads must be what was meant, byte by byte.
func TestFilesSurviveTheCloudConfig(t *testing.T) {
	text, err := example().UserData()
	if err != nil {
		t.Fatal(err)
	}
	files := filesOf(t, text)
	for path, want := range map[string]string{
		"/opt/sallyport/login.sh": bare(login), "/opt/sallyport/watch.sh": bare(watch), "/opt/sallyport/addresses.sh": bare(addresses),
		"/etc/docker/daemon.json": daemon, "/etc/sysctl.d/90-sallyport.conf": proxyfleet.Sysctls([]int{443, 8443}),
	} {
		if files[path] != want {
			t.Errorf("%s differs:\n%s", path, files[path])
		}
	}
	if !json.Valid([]byte(files["/etc/docker/daemon.json"])) {
		t.Error("docker's settings are not JSON")
	}
	checkProfile(t, files["/etc/sallyport/seccomp.json"])
	// What the unit and the environment name must be there.
	named := regexp.MustCompile(`/(opt|etc)/sallyport/[a-z.]+`)
	for path, content := range maps.Clone(files) {
		for _, name := range named.FindAllString(content, -1) {
			if _, ok := files[name]; !ok {
				t.Errorf("%s names %s, which is not written", path, name)
			}
		}
	}
}

// checkProfile checks that the profile on the machine says what the image's says.
func checkProfile(t *testing.T, text string) {
	t.Helper()
	type profile struct {
		DefaultAction   string
		DefaultErrnoRet int
		Architectures   []string
		Syscalls        []struct {
			Names    []string
			Action   string
			Args     []map[string]any
			ErrnoRet int
		}
	}
	var got, want profile
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(proxyimage.Seccomp), &want); err != nil {
		t.Fatal(err)
	}
	if len(want.Syscalls) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// filesOf returns the files of a cloud-config by path.
func filesOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var config struct {
		WriteFiles []struct{ Path, Permissions, Content string } `yaml:"write_files"`
		Runcmd     []string
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || !strings.HasPrefix(text, "#cloud-config\n") {
		t.Fatalf("no cloud-config: %v", err)
	}
	files := map[string]string{}
	for _, f := range config.WriteFiles {
		if f.Permissions != "0644" && f.Permissions != "0755" {
			t.Errorf("%s has mode %q", f.Path, f.Permissions)
		}
		files[f.Path] = f.Content
	}
	if len(config.Runcmd) == 0 || len(files) != len(config.WriteFiles) {
		t.Errorf("needs commands and files with unique paths")
	}
	return files
}

func TestMistakesAreAllReported(t *testing.T) {
	h := example()
	h.Image, h.ReadySeconds, h.LogGroup = "registry.example.com/proxy:latest", 30, ""
	h.Agent.SourceIPs, h.Agent.DrainSeconds, h.Agent.RoutesURL = nil, 0, "file:///etc/routes.json"
	h.Agent.Env = map[string]string{"SALLYPORT_DRAIN": "1h", "PATH": "/tmp"}
	_, err := h.UserData()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"image: must be <repository>@sha256:", "readySeconds: must be 90 to 1800, got 30", "log: needs region", "sourceIPs: must be 1 to 16",
		"drainSeconds: must be 1 to 3,600, got 0", "routes: must be s3://", "env: SALLYPORT_DRAIN", "env: PATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
}

func TestUserDataHasRoomForTheLargestSlot(t *testing.T) {
	h := example()
	h.Agent.SourceIPs = nil
	for i := range proxyfleet.MaxSourceIPs {
		h.Agent.SourceIPs = append(h.Agent.SourceIPs, fmt.Sprintf("10.255.255.%d", 100+i))
	}
	h.ListenPorts = nil
	for port := 10000; port < 10060; port++ {
		h.ListenPorts = append(h.ListenPorts, port)
	}
	if _, err := h.UserData(); err != nil {
		t.Error(err)
	}
	h.Seccomp = `{"names":"` + strings.Repeat("x", MaxUserData) + `"}`
	if _, err := h.UserData(); err == nil || !strings.Contains(err.Error(), "must not be longer than 16384 bytes") {
		t.Errorf("got %v", err)
	}
}
