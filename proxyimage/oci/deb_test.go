package oci

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func archive(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte("text")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestOnlyNeededFilesAreTakenAndNoneKeepsItsBits(t *testing.T) {
	got := tree{}
	err := got.addArchive(archive(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o777},
		tar.Header{Name: "./usr/sbin/haproxy", Typeflag: tar.TypeReg, Mode: 0o4755},
		tar.Header{Name: "./lib/x86_64-linux-gnu/libc.so.6", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "./lib/x86_64-linux-gnu/libhard.so.1", Typeflag: tar.TypeLink, Linkname: "./lib/x86_64-linux-gnu/libc.so.6"},
		tar.Header{Name: "./lib64/ld-linux-x86-64.so.2", Typeflag: tar.TypeSymlink, Linkname: "/lib/x86_64-linux-gnu/libc.so.6"},
		tar.Header{Name: "./usr/share/doc/x/copyright", Typeflag: tar.TypeReg, Mode: 0o6600},
		tar.Header{Name: "./bin/sh", Typeflag: tar.TypeReg, Mode: 0o755},
		tar.Header{Name: "./usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", Typeflag: tar.TypeReg},
		tar.Header{Name: "./usr/share/doc/x/changelog.gz", Typeflag: tar.TypeReg},
		tar.Header{Name: "./dev/mem", Typeflag: tar.TypeChar},
	), platforms["amd64"])
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range got.names() {
		n := got[name]
		if n.mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 || n.mode.Perm()&0o022 != 0 && n.mode.IsRegular() {
			t.Errorf("%s has mode %v", name, n.mode)
		}
		if !n.mode.IsDir() {
			files = append(files, name)
		}
	}
	want := "usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/libhard.so.1 usr/lib64/ld-linux-x86-64.so.2 usr/sbin/haproxy usr/share/doc/x/copyright"
	if strings.Join(files, " ") != want {
		t.Errorf("files = %s\nwant    %s", strings.Join(files, " "), want)
	}
	if target, ok := got.find("usr/lib64/ld-linux-x86-64.so.2"); !ok || target != "usr/lib/x86_64-linux-gnu/libc.so.6" {
		t.Errorf("the loader leads to %q, %v", target, ok)
	}
}

func TestHostilePackagesAreRefused(t *testing.T) {
	const lib = "./usr/lib/x86_64-linux-gnu/"
	for name, headers := range map[string][]tar.Header{
		"a path that climbs":           {{Name: "./../etc/passwd", Typeflag: tar.TypeReg}},
		"a path that climbs in middle": {{Name: lib + "../../../../x.so", Typeflag: tar.TypeReg}},
		"an absolute path":             {{Name: "/usr/sbin/haproxy", Typeflag: tar.TypeReg}},
		"a doubled slash":              {{Name: ".//usr/sbin/haproxy", Typeflag: tar.TypeReg}},
		"a device in a wanted place":   {{Name: lib + "libc.so.6", Typeflag: tar.TypeBlock}},
		"a pipe in a wanted place":     {{Name: "./usr/sbin/haproxy", Typeflag: tar.TypeFifo}},
		"a hard link to the outside":   {{Name: lib + "libc.so.6", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}},
		"a hard link to nothing":       {{Name: lib + "libc.so.6", Typeflag: tar.TypeLink, Linkname: "./etc/shadow"}},
		"a file below a link": {
			{Name: "./usr/share/doc/x", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
			{Name: "./usr/share/doc/x/copyright", Typeflag: tar.TypeReg}},
		"a link in place of a directory": {
			{Name: "./usr/share/doc/x/copyright", Typeflag: tar.TypeReg},
			{Name: "./usr/share/doc/x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
	} {
		if err := (tree{}).addArchive(archive(t, headers...), platforms["amd64"]); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := (tree{}).addArchive(strings.NewReader("no archive at all, but long enough to be read as a header"+strings.Repeat("x", 512)), platforms["amd64"]); err == nil {
		t.Error("garbage: taken")
	}
}

func TestTreeOnDiskIsTheTreeInTheArchive(t *testing.T) {
	epoch := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	files := tree{}
	for _, err := range []error{
		files.addFile("a/b/file", 0o755, []byte("text")), files.addLink("a/link", "../../../outside"), files.addDir("tmp", fs.ModeSticky|0o777, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := files.writeDir(dir, epoch); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a/b/file"))
	if err != nil || info.Mode() != 0o755 || !info.ModTime().Equal(epoch) {
		t.Errorf("file: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || !info.ModTime().Equal(epoch) {
		t.Errorf("directory: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "tmp")); err != nil || info.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("tmp: %v, %v", info.Mode(), err)
	}
	var first, second bytes.Buffer
	if err := files.writeTar(&first, epoch); err != nil {
		t.Fatal(err)
	}
	if err := files.writeTar(&second, epoch); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of one tree differ")
	}
	in, names := tar.NewReader(&first), ""
	for header, err := in.Next(); err == nil; header, err = in.Next() {
		names += header.Name + " "
		if header.Uid != 0 || header.Uname != "" || !header.ModTime.Equal(epoch) {
			t.Errorf("%s: owner %d %q, time %s", header.Name, header.Uid, header.Uname, header.ModTime)
		}
	}
	if names != "a/ a/b/ a/b/file a/link tmp/ " {
		t.Errorf("archive holds %s", names)
	}
}
