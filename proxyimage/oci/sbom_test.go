package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// spdxComplaints holds a document against the rules of SPDX 2.3 for the fields that we write
// (https://spdx.github.io/spdx-spec/v2.3/, sections 6, 7 and 11, and the JSON schema of 2.3, checked 2026-11-20).
func spdxComplaints(t *testing.T, text []byte) []string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var complaints []string
	need := func(where string, object map[string]any, patterns map[string]string) {
		for field, pattern := range patterns {
			value, ok := object[field].(string)
			if !ok || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
				complaints = append(complaints, fmt.Sprintf("%s: %s: must match %s, got %v", where, field, pattern, object[field]))
			}
		}
	}
	objects := func(where string, value any) []map[string]any {
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			complaints = append(complaints, where+": must be a list with entries")
		}
		var all []map[string]any
		for _, entry := range list {
			object, _ := entry.(map[string]any)
			all = append(all, object)
		}
		return all
	}
	const licence = `NOASSERTION|NONE|[A-Za-z0-9.-]+( AND [A-Za-z0-9.-]+)*`
	need("document", doc, map[string]string{
		"spdxVersion": `SPDX-2\.3`, "dataLicense": `CC0-1\.0`, "SPDXID": "SPDXRef-DOCUMENT", "name": ".+", "documentNamespace": `https://[^#\s]+`,
	})
	creation, _ := doc["creationInfo"].(map[string]any)
	need("creationInfo", creation, map[string]string{"created": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`})
	if creators, _ := creation["creators"].([]any); len(creators) == 0 || !strings.HasPrefix(fmt.Sprint(creators[0]), "Tool: ") {
		complaints = append(complaints, "creationInfo: creators: must name a tool")
	}
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for i, p := range objects("packages", doc["packages"]) {
		where := fmt.Sprintf("packages[%d] %v", i, p["name"])
		need(where, p, map[string]string{
			"name": ".+", "SPDXID": `SPDXRef-[A-Za-z0-9.-]+`, "versionInfo": ".+", "downloadLocation": `NOASSERTION|NONE|https://\S+`,
			"licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": ".+",
		})
		if id := fmt.Sprint(p["SPDXID"]); ids[id] {
			complaints = append(complaints, where+": identifier stands twice")
		} else {
			ids[id] = true
		}
		if p["filesAnalyzed"] != false {
			complaints = append(complaints, where+": filesAnalyzed: must be false without a verification code")
		}
		for _, reference := range objects(where+": externalRefs", p["externalRefs"]) {
			need(where, reference, map[string]string{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
				"referenceLocator": `pkg:(deb/debian|golang)/[A-Za-z0-9._~/+-]+(@[A-Za-z0-9._~%+-]+)?(\?arch=[a-z0-9]+)?`})
		}
		if p["checksums"] != nil {
			for _, sum := range objects(where+": checksums", p["checksums"]) {
				need(where, sum, map[string]string{"algorithm": "SHA256", "checksumValue": "[0-9a-f]{64}"})
			}
		}
	}
	for i, r := range objects("relationships", doc["relationships"]) {
		need(fmt.Sprintf("relationships[%d]", i), r, map[string]string{"relationshipType": "DESCRIBES"})
		for _, end := range []string{"spdxElementId", "relatedSpdxElement"} {
			if !ids[fmt.Sprint(r[end])] {
				complaints = append(complaints, fmt.Sprintf("relationships[%d]: %s: %v is not in the document", i, end, r[end]))
			}
		}
	}
	return complaints
}

// TestAgentsModulesAreListedWithTheirLicences takes the real agent, which has modules.
func TestAgentsModulesAreListedWithTheirLicences(t *testing.T) {
	agent, err := os.ReadFile(realAgent(t))
	if err != nil {
		t.Fatal(err)
	}
	known, err := readLicences(context.Background(), agent)
	if err != nil {
		t.Fatal(err)
	}
	c := contents{arch: "amd64", epoch: time.Unix(1e9, 0).UTC(), agent: agent, licences: known}
	text, err := sbom(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range spdxComplaints(t, text) {
		t.Error(complaint)
	}
	var doc spdxDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{}
	for _, p := range doc.Packages[1:] { // the first is ours
		declared[p.Name] = p.LicenseDeclared
		if p.LicenseDeclared == "NOASSERTION" {
			t.Errorf("%s: licence not recognised", p.Name)
		}
	}
	if declared["github.com/miekg/dns"] != "BSD-3-Clause" || declared["github.com/prometheus/client_golang"] != "Apache-2.0" {
		t.Errorf("licences = %v", declared)
	}
	files, err := agentTree(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"github.com/miekg/dns/LICENSE", "github.com/prometheus/client_golang/NOTICE", "stdlib/LICENSE"} {
		if n := files[licencesOfModules+"/"+name]; len(n.data) < 100 || n.mode != 0o644 {
			t.Errorf("%s: %d bytes, mode %v", name, len(n.data), n.mode)
		}
	}
}

func TestLicencesAreToldApart(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n   Version 2.0, January 2004":                                               "Apache-2.0",
		"Permission is hereby granted,\nfree of charge, to any person":                               "MIT",
		"Redistribution and use in source\nand binary forms":                                         "BSD-2-Clause",
		"Redistribution and use in source and binary forms ... contributors may be used\nto endorse": "BSD-3-Clause",
		"All rights reserved": "NOASSERTION",
	} {
		l := licences{"m": {"LICENSE": []byte(text), "NOTICE": []byte("Mozilla Public License Version 2.0")}}
		if got := l.spdx("m"); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if _, err := licenceFiles(t.TempDir()); err == nil || !strings.Contains(err.Error(), "must hold a licence") {
		t.Errorf("a module without a licence: %v", err)
	}
}
