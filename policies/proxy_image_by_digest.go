package main

import (
	"regexp"
	"slices"
	"strings"
)

// fleetTypes are the fleets of AWS and GCP.
var fleetTypes = []string{"sallyport:proxyfleet:Fleet", "sallyport:proxyfleet:GCPFleet"}

// byDigest is an image reference that names its content.
var byDigest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

// proxyImageByDigest wants images named by content: a tag may mean another program tomorrow.
var proxyImageByDigest = policy{
	name: "proxy-image-by-digest", level: mandatory,
	description: "Proxy images are named by digest.",
	types:       append([]string{"kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:DaemonSet", "kubernetes:apps/v1:StatefulSet"}, fleetTypes...),
	resource: func(j *judge, r resource) {
		if slices.Contains(fleetTypes, r.kind) {
			judgeImage(j, r, r.inputs.at("image"))
			return
		}
		pod := r.inputs.at("spec", "template", "spec")
		for _, kind := range []string{"initContainers", "containers"} {
			for _, container := range pod.at(kind).items() {
				judgeImage(j, r, container.at("image"))
			}
		}
	},
}

func judgeImage(j *judge, r resource, image field) {
	if j.sees(r, image, "name the image as <repository>@sha256:<digest>") && !byDigest.MatchString(strings.TrimSpace(image.text())) {
		j.violates(r, image, "must end with @sha256: and 64 hexadecimal digits", "pin it by digest: `make image-push` prints it")
	}
}
