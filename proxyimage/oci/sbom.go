package oci

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// sbomPath is where the image keeps its list of contents.
const sbomPath = "usr/share/sallyport/sbom.spdx.json"

// The types below are the part of SPDX 2.3 that we write (https://spdx.github.io/spdx-spec/v2.3/, checked 2026-11-20).
type spdxDocument struct {
	SPDXVersion       string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	SPDXID            string             `json:"SPDXID"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Packages          []spdxPackage      `json:"packages"`
	Relationships     []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	Name             string         `json:"name"`
	SPDXID           string         `json:"SPDXID"`
	Version          string         `json:"versionInfo"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	Copyright        string         `json:"copyrightText"`
	Comment          string         `json:"comment,omitempty"`
	Checksums        []spdxChecksum `json:"checksums,omitempty"`
	External         []spdxExternal `json:"externalRefs"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxExternal struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// contents is what a list of contents is made from.
type contents struct {
	arch          string
	epoch         time.Time
	packages      []Package
	substitutions []Substitution
	agent         []byte
	licences      licences // of the agent's modules
}

// sbom lists every Debian package and every Go module in the image as SPDX 2.3. The same contents give the same bytes.
func sbom(c contents) ([]byte, error) {
	const documentID = "SPDXRef-DOCUMENT"
	doc := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: "sallyport-proxy-" + c.arch,
		CreationInfo: spdxCreation{Created: c.epoch.Format(time.RFC3339), Creators: []string{"Tool: sallyport image build"}},
	}
	for _, p := range c.packages {
		doc.Packages = append(doc.Packages, debianPackage(p, c.substitutions))
	}
	modules, err := goModules(c.agent, c.licences)
	if err != nil {
		return nil, err
	}
	doc.Packages = append(doc.Packages, modules...)
	for _, p := range doc.Packages {
		doc.Relationships = append(doc.Relationships, spdxRelationship{From: documentID, Type: "DESCRIBES", To: p.SPDXID})
	}
	identity := sha256.New()
	if err := json.NewEncoder(identity).Encode(doc); err != nil {
		return nil, err
	}
	doc.DocumentNamespace = "https://spdx.org/spdxdocs/" + doc.Name + "-" + hex.EncodeToString(identity.Sum(nil))
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

func debianPackage(p Package, substitutions []Substitution) spdxPackage {
	entry := newSPDXPackage(p.Name, p.Version, fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", p.Name, url.QueryEscape(p.Version), p.Arch))
	entry.Checksums = []spdxChecksum{{Algorithm: "SHA256", Value: p.SHA256}}
	for _, s := range substitutions {
		if s.Taken == p {
			entry.Comment = "not the locked version " + s.Locked.Version + ", which the mirrors no longer had; local use only"
		}
	}
	return entry
}

// goModules lists what Go recorded in the agent: its own module, the standard library and all dependencies.
func goModules(agent []byte, known licences) ([]spdxPackage, error) {
	info, err := buildinfo.Read(bytes.NewReader(agent))
	if err != nil {
		return nil, fmt.Errorf("agent: must carry Go's build information: %w", err)
	}
	sum := sha256.Sum256(agent)
	main := newSPDXPackage(info.Path, cmp.Or(info.Main.Version, "(devel)"), "pkg:golang/"+cmp.Or(info.Main.Path, info.Path))
	main.Checksums = []spdxChecksum{{Algorithm: "SHA256", Value: hex.EncodeToString(sum[:])}}
	toolchain := strings.TrimPrefix(info.GoVersion, "go")
	all := []spdxPackage{main, newSPDXPackage("stdlib", toolchain, "pkg:golang/stdlib@"+toolchain)}
	all[1].LicenseDeclared = known.spdx("stdlib")
	modules := linkedModules(info)
	slices.SortFunc(modules, func(a, b *debug.Module) int { return strings.Compare(a.Path, b.Path) })
	for _, module := range modules {
		all = append(all, newSPDXPackage(module.Path, module.Version, "pkg:golang/"+module.Path+"@"+url.QueryEscape(module.Version)))
		all[len(all)-1].LicenseDeclared = known.spdx(module.Path)
	}
	return all, nil
}

func newSPDXPackage(name, version, locator string) spdxPackage {
	id := sha256.Sum256([]byte(name))
	return spdxPackage{
		Name: name, SPDXID: "SPDXRef-Package-" + hex.EncodeToString(id[:8]), Version: version,
		DownloadLocation: "NOASSERTION", LicenseConcluded: "NOASSERTION", LicenseDeclared: "NOASSERTION", Copyright: "NOASSERTION",
		External: []spdxExternal{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: locator}},
	}
}
