package stack

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sallyport/sallyport/internal/problem"
)

func validateAWSMachine(place string, s *Stack, list *problem.List) {
	f, at := s.AWS.Fleet, place+".fleet."
	if !awsInstanceType.MatchString(f.InstanceType) {
		list.Add(at+"instanceType", "must be an EC2 instance type", f.InstanceType, "leave it out for c7g.large")
	}
	if f.Architecture != "" {
		oneOf(list, at+"architecture", f.Architecture, "arm64", "x86_64")
	}
	if f.AMI != "" {
		awsID(list, at+"ami", "ami", f.AMI, "a machine image")
	}
	if f.KMSKeyARN != "" && !awsKey.MatchString(f.KMSKeyARN) {
		list.Add(at+"kmsKeyARN", "must be the ARN of a KMS key", f.KMSKeyARN, "copy it from the console: arn:aws:kms:...")
	}
	between(list, at+"threads", f.Threads, 1, awsMaxThreads, "leave it out for 2")
	between(list, at+"readySeconds", f.ReadySeconds, awsMinReady, awsMaxReady, "leave it out for 180")
	if !slices.Contains(awsRetention, f.LogRetentionDays) {
		list.Add(at+"logRetentionDays", fmt.Sprintf("must be one of CloudWatch's values %v", awsRetention), f.LogRetentionDays, "leave it out for 30")
	}
	for i, server := range f.DNSServers {
		if server.IsValid() && !server.Is4() {
			list.Add(problem.Index(at+"dnsServers", i), "must be an IPv4 address", server.String(), "leave it out for the VPC's own")
		}
	}
}

func validateAWSImage(place string, s *Stack, list *problem.List) {
	f, at := s.AWS.Fleet, place+".fleet."
	if f.Image != "" && f.Digest != "" {
		list.Add(at+"digest", "must be left out with image, which has its own", f.Digest, "remove one of the two")
	}
	if f.Image != "" && !awsImage.MatchString(f.Image) {
		list.Add(at+"image", "must be <repository>@sha256:<64 hex digits>: a tag can be moved", f.Image, "`make image-push` prints it")
	}
	if f.Digest != "" && !awsDigest.MatchString(f.Digest) {
		list.Add(at+"digest", "must be sha256:<64 hex digits>", f.Digest, "`make image-push` prints it")
	}
}

func validateAWSSlots(place string, s *Stack, list *problem.List) {
	f, at := s.AWS.Fleet, place+".fleet."
	between(list, at+"activePerZone", f.ActivePerZone, 0, maxPerZone, "leave it out for all that the plan has")
	oneOf(list, at+"rollout", f.Rollout, "one-by-one", "together")
	if ips := s.Proxies.IPsPerProxy; ips > awsMaxIPs && ips <= maxIPsOfProxy {
		list.Addf(Namespace+"proxies.ipsPerProxy", ips, "more proxies are made instead", "must not be above %d with cloud aws", awsMaxIPs)
	}
}

// maxPerZone bounds the proxies of one zone; the routes document holds 500 in all.
const maxPerZone = 500

func validateAWSPrivateIPs(place string, s *Stack, list *problem.List) {
	at := place + ".fleet.privateIPs"
	taken := map[netip.Addr]bool{}
	for _, slot := range slices.Sorted(maps.Keys(s.AWS.Fleet.PrivateIPs)) {
		here, ips := problem.Child(at, slot), s.AWS.Fleet.PrivateIPs[slot]
		if len(ips) != s.Proxies.IPsPerProxy {
			list.Addf(here, len(ips), "the first is what clients connect to", "must have as many as proxies.ipsPerProxy, %d", s.Proxies.IPsPerProxy)
		}
		for i, ip := range ips {
			switch {
			case !ip.IsValid():
			case !inside(s.AWS.VPC.Networks(), ip):
				list.Add(problem.Index(here, i), "must be an address of the VPC", ip.String(), "pick a free one of the slot's subnet")
			case taken[ip]:
				list.Add(problem.Index(here, i), "must be unique", ip.String(), "give each slot its own")
			}
			taken[ip] = true
		}
	}
}
