package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seccompProfile is the format of container engines (https://github.com/opencontainers/runtime-spec, Docker's and Kubernetes').
type seccompProfile struct {
	DefaultAction   string           `json:"defaultAction"`
	DefaultErrnoRet uint32           `json:"defaultErrnoRet"`
	Architectures   []string         `json:"architectures"`
	Syscalls        []seccompSyscall `json:"syscalls"`
}

type seccompSyscall struct {
	Names   []string     `json:"names"`
	Action  string       `json:"action"`
	Args    []seccompArg `json:"args,omitempty"`
	Comment string       `json:"comment,omitempty"`
}

type seccompArg struct {
	Index    uint32 `json:"index"`
	Value    uint32 `json:"value"`
	ValueTwo uint32 `json:"valueTwo"`
	Op       string `json:"op"`
}

// mask returns a mask and what it must leave of the argument's lower half; nil for a comparison that the profile does not use.
func (a seccompArg) mask() []uint32 {
	switch a.Op {
	case "SCMP_CMP_EQ":
		return []uint32{^uint32(0), a.Value}
	case "SCMP_CMP_MASKED_EQ":
		return []uint32{a.Value, a.ValueTwo}
	}
	return nil
}

func readProfile(path string) (seccompProfile, error) {
	var profile seccompProfile
	text, err := os.ReadFile(path)
	if err != nil {
		return profile, err
	}
	return profile, json.Unmarshal(text, &profile)
}

// compile turns the profile into a program for the kernel, for this machine's architecture. It knows as much of the format as the
// profile uses, and refuses the rest.
func (p seccompProfile) compile(numbers map[string]uint32) ([]unix.SockFilter, error) {
	const number, arch, args = 0, 4, 16 // offsets in struct seccomp_data
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(value uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value} }
	unlessEqual := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	auditArch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok || p.DefaultAction != "SCMP_ACT_ERRNO" {
		return nil, fmt.Errorf("default action %q on %s", p.DefaultAction, runtime.GOARCH)
	}
	filter := []unix.SockFilter{load(arch), unlessEqual(auditArch, 1), {Code: unix.BPF_JMP | unix.BPF_JA, K: 1}, answer(unix.SECCOMP_RET_KILL_PROCESS), load(number)}
	for _, rule := range p.Syscalls {
		if rule.Action != "SCMP_ACT_ALLOW" || len(rule.Args) > 1 || len(rule.Args) == 1 && rule.Args[0].mask() == nil {
			return nil, fmt.Errorf("rule %+v", rule)
		}
		for _, name := range rule.Names {
			n, ok := numbers[name]
			if !ok {
				continue // of another architecture
			}
			if len(rule.Args) == 0 {
				filter = append(filter, unlessEqual(n, 1), answer(unix.SECCOMP_RET_ALLOW))
				continue
			}
			a := rule.Args[0]
			mask := a.mask()
			filter = append(filter, unlessEqual(n, 5), load(args+8*a.Index),
				unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask[0]},
				unlessEqual(mask[1], 1), answer(unix.SECCOMP_RET_ALLOW), load(number))
		}
	}
	return append(filter, answer(unix.SECCOMP_RET_ERRNO|p.DefaultErrnoRet)), nil
}

// install puts the filter in force for the calling thread and what it executes. Nothing is installed without a filter.
func install(filter []unix.SockFilter) error {
	if len(filter) == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// syscallNumbers reads the numbers of an architecture's system calls from the source of golang.org/x/sys.
func syscallNumbers(t *testing.T, arch string) map[string]uint32 {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+arch+".go"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]uint32{}
	for _, m := range regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseUint(m[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		numbers[strings.ToLower(m[1])] = uint32(n)
	}
	return numbers
}

// dangerous are calls that no proxy needs; the profile must never allow them.
var dangerous = []string{
	"acct", "add_key", "bpf", "chroot", "clone3", "delete_module", "finit_module", "init_module", "io_uring_setup", "kexec_load", "keyctl",
	"mount", "move_mount", "open_by_handle_at", "perf_event_open", "personality", "pivot_root", "process_vm_readv", "process_vm_writev",
	"ptrace", "reboot", "request_key", "setns", "swapon", "umount2", "unshare", "userfaultfd",
}

func TestSeccompProfile(t *testing.T) {
	profile, err := readProfile(profilePath)
	if err != nil {
		t.Fatal(err)
	}
	if profile.DefaultAction != "SCMP_ACT_ERRNO" || profile.DefaultErrnoRet != uint32(unix.ENOSYS) {
		t.Errorf("default %s %d, want an error that lets programs fall back (ENOSYS)", profile.DefaultAction, profile.DefaultErrnoRet)
	}
	if !slices.Equal(profile.Architectures, []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}) {
		t.Errorf("architectures = %v", profile.Architectures)
	}
	amd64, arm64 := syscallNumbers(t, "amd64"), syscallNumbers(t, "arm64")
	if amd64["read"] != 0 || arm64["read"] != 63 || amd64["seccomp"] != 317 {
		t.Fatalf("numbers: %d, %d, %d", amd64["read"], arm64["read"], amd64["seccomp"])
	}
	seen := map[string]bool{}
	for _, rule := range profile.Syscalls {
		if !slices.IsSorted(rule.Names) || len(rule.Names) == 0 || rule.Comment == "" {
			t.Errorf("rule %q: names must be sorted and explained", rule.Comment)
		}
		for _, name := range rule.Names {
			if seen[name] && len(rule.Args) == 0 {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
			if _, ok := amd64[name]; !ok {
				t.Errorf("%s is no system call", name)
			}
			if slices.Contains(dangerous, name) {
				t.Errorf("%s must not be allowed", name)
			}
		}
	}
	for _, needed := range []string{"read", "write", "execve", "exit_group", "socket", "connect", "accept4", "epoll_pwait", "futex"} {
		if !seen[needed] {
			t.Errorf("%s is missing", needed)
		}
	}
	if filter, err := profile.compile(amd64); err != nil || len(filter) > 4096 {
		t.Errorf("%d instructions, %v", len(filter), err)
	}
}
