package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const comment = "timestamp:1767225600\tfile:allowlist.json\thashed"

func generate(t *testing.T) SecretKey {
	t.Helper()
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, key SecretKey, file string) []byte {
	t.Helper()
	signature, err := key.Sign([]byte(file), comment)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func TestASignatureIsOfOneFileOneCommentAndOneKey(t *testing.T) {
	key, other := generate(t), generate(t)
	signature := sign(t, key, "the list")
	public, err := ParsePublicKey(key.Public().File())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := public.Verify([]byte("the list"), signature); err != nil || got != comment {
		t.Fatalf("%q, %v", got, err)
	}
	if !bytes.Equal(signature, sign(t, key, "the list")) {
		t.Error("signing twice gives two signatures: an update without a change would publish a new one")
	}
	forged := other
	forged.id = key.id
	for name, test := range map[string]struct {
		file      string
		signature []byte
		want      string
	}{
		"another file":      {"The list", signature, "not valid"},
		"another key":       {"the list", sign(t, other, "the list"), "made with key " + other.Public().name()},
		"another key's ID":  {"the list", sign(t, forged, "the list"), "not valid"},
		"a changed comment": {"the list", bytes.Replace(signature, []byte("1767225600"), []byte("1767225601"), 1), "the trusted comment was changed"},
	} {
		if _, err := public.Verify([]byte(test.file), test.signature); !errors.Is(err, ErrNotValid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if _, err := key.Sign(nil, "two\nlines"); err == nil {
		t.Error("a comment of two lines was signed")
	}
}

func TestBrokenSignaturesAndKeysAreRefused(t *testing.T) {
	key := generate(t)
	signature := string(sign(t, key, "x"))
	for name, text := range map[string]string{
		"nothing": "", "one line": "untrusted comment: x\n", "five lines": signature + "more\n",
		"no comment": strings.Replace(signature, trustedPrefix, "comment: ", 1), "no base64": strings.Replace(signature, "\nRU", "\n!!", 1),
		"another algorithm": strings.Replace(signature, "\nRU", "\nAA", 1),
	} {
		if _, err := key.Public().Verify([]byte("x"), []byte(text)); err == nil || errors.Is(err, ErrNotValid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "RWQ", strings.Repeat("A", 56), "a\nb\n" + key.Public().String(), "x" + key.Public().String()} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q is a public key", text)
		}
	}
}

func TestLegacySignaturesAreChecked(t *testing.T) {
	key := generate(t)
	raw := ed25519.Sign(key.key, []byte("x"))
	line := append(append([]byte(legacy), key.id[:]...), raw...)
	global := ed25519.Sign(key.key, append(bytes.Clone(raw), comment...))
	text := fmt.Sprintf("untrusted comment: x\r\n%s\r\ntrusted comment: %s\r\n%s\r\n", base64.StdEncoding.EncodeToString(line), comment, base64.StdEncoding.EncodeToString(global))
	if got, err := key.Public().Verify([]byte("x"), []byte(text)); err != nil || got != comment {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := key.Public().Verify([]byte("y"), []byte(text)); !errors.Is(err, ErrNotValid) {
		t.Error(err)
	}
}

func TestASecretKeyIsOpenedByItsPasswordOnly(t *testing.T) {
	key := generate(t)
	for _, password := range []string{"", "correct horse"} {
		file, err := key.File([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSecretKey(file, []byte(password))
		if err != nil || !bytes.Equal(again.key, key.key) || again.id != key.id {
			t.Fatalf("password %q: %v", password, err)
		}
		if password == "" {
			continue
		}
		for _, wrong := range []string{"", "wrong"} {
			if _, err := ParseSecretKey(file, []byte(wrong)); !errors.Is(err, ErrPassword) {
				t.Errorf("password %q: %v", wrong, err)
			}
		}
	}
	file, err := key.File(nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(string(file), "\n")[1]
	for _, broken := range []string{"", "x", string(file[:100]), strings.Replace(string(file), secret, "%"+secret[1:], 1), string(file) + "more"} {
		if _, err := ParseSecretKey([]byte(broken), nil); err == nil || strings.Contains(err.Error(), secret[60:]) {
			t.Errorf("%.40q: %v", broken, err)
		}
	}
	raw, _ := base64.StdEncoding.DecodeString(secret)
	copy(raw[2:], kdfScrypt)
	raw[46+7] = 1 // 2^56 bytes of memory
	if _, err := ParseSecretKey([]byte("c\n"+base64.StdEncoding.EncodeToString(raw)), []byte("p")); err == nil || !strings.Contains(err.Error(), "must not need more than") {
		t.Errorf("a key that eats all memory: %v", err)
	}
}

func TestASecretKeyNeverPrintsItself(t *testing.T) {
	key := generate(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, key); text != "secret key "+key.Public().name() {
			t.Errorf("%s: %s", format, text)
		}
	}
}

func TestParametersAreThoseOfLibsodium(t *testing.T) {
	for _, test := range []struct {
		ops, mem uint64
		n, p     int
	}{{1 << 25, 1 << 30, 1 << 20, 1}, {524288, 16777216, 1 << 14, 1}, {opsLimit, memLimit, 1 << 18, 1}, {0, 1 << 24, 1 << 10, 1}} {
		if n, p := parameters(test.ops, test.mem); n != test.n || p != test.p {
			t.Errorf("%d, %d: N %d p %d, want %d %d", test.ops, test.mem, n, p, test.n, test.p)
		}
	}
}

// TestMinisignAgrees lets the reference implementation check what we sign, and checks what it signs, with keys of either.
func TestMinisignAgrees(t *testing.T) {
	minisign, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is not installed (Debian package minisign)")
	}
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(input string, args ...string) (string, error) {
		cmd := exec.Command(minisign, args...)
		cmd.Dir, cmd.Stdin = folder, strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	write("list.json", []byte("the list"))
	key := generate(t)
	write("list.json.minisig", sign(t, key, "the list"))
	write("our.pub", []byte(key.Public().File()))
	if out, err := run("", "-V", "-p", "our.pub", "-m", "list.json"); err != nil || !strings.Contains(out, comment) {
		t.Fatalf("minisign does not take our signature: %v\n%s", err, out)
	}
	write("list.json", []byte("another list"))
	if out, err := run("", "-V", "-p", "our.pub", "-m", "list.json"); err == nil {
		t.Errorf("minisign takes it for another file too:\n%s", out)
	}
	for _, password := range []string{"", "correct horse"} {
		file, err := key.File([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		write("our.key", file)
		if out, err := run(password+"\n", "-S", "-s", "our.key", "-m", "list.json", "-t", "from minisign", "-x", "theirs.minisig"); err != nil {
			t.Fatalf("minisign does not sign with our key (password %q): %v\n%s", password, err, out)
		}
		signature, err := os.ReadFile(path("theirs.minisig"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Public().Verify([]byte("another list"), signature); err != nil || got != "from minisign" {
			t.Errorf("we do not take minisign's signature: %q, %v", got, err)
		}
	}
	if out, err := run("", "-G", "-W", "-f", "-p", "their.pub", "-s", "their.key"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	theirs, err := os.ReadFile(path("their.key"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseSecretKey(theirs, nil)
	public, _ := os.ReadFile(path("their.pub"))
	if err != nil || !strings.Contains(string(public), read.Public().String()) {
		t.Errorf("minisign's key: %v, %s", err, public)
	}
}

func FuzzVerify(f *testing.F) {
	key, _ := Generate()
	signature, _ := key.Sign([]byte("x"), comment)
	f.Add([]byte("x"), signature, key.Public().String())
	f.Add([]byte("y"), []byte("untrusted comment: \nRUQ=\ntrusted comment: \n\n"), "RWQ=")
	f.Fuzz(func(t *testing.T, file, signature []byte, public string) {
		k, err := ParsePublicKey(public)
		if err != nil {
			return
		}
		if _, err := k.Verify(file, signature); err == nil && !bytes.Equal(file, []byte("x")) {
			t.Fatalf("%q was taken", file)
		}
	})
}
