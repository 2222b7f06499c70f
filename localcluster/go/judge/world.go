package main

import (
	"context"
	"fmt"
	"sort"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
)

// nowhere is a client that is never called: all that plugins ask for is in the informers.
var nowhere = kubernetes.NewForConfigOrDie(&rest.Config{})

// profile is the default one.
var profile = func() *config.KubeSchedulerProfile {
	metrics.Register()
	found, err := latest.Default()
	if err != nil {
		panic(err)
	}
	return &found.Profiles[0]
}()

// world is one cluster and the plugins that look at it.
type world struct {
	known    *known
	snapshot *lister
	plugins  []framework.Plugin // in the profile's order; of those that filter
	context  context.Context
	stop     context.CancelFunc
}

// lister shows the newest snapshot to plugins, which keep hold of it.
type lister struct{ *cache.Snapshot }

func newWorld(all *objects) (*world, error) {
	ctx, stop := context.WithCancel(klog.NewContext(context.Background(), klog.Background()))
	w := &world{known: newKnown(nowhere), snapshot: &lister{}, context: ctx, stop: stop}
	w.snapshot.Snapshot = cache.NewEmptySnapshot()
	made := map[string]framework.Plugin{}
	registry := frameworkruntime.Registry{}
	for name, factory := range plugins.NewInTreeRegistry() {
		registry[name] = func(
			ctx context.Context, args runtime.Object, handle framework.Handle,
		) (framework.Plugin, error) {
			plugin, err := factory(ctx, args, handle)
			made[name] = plugin
			return plugin, err
		}
	}
	devices, err := w.devices()
	if err != nil {
		return nil, err
	}
	_, err = frameworkruntime.NewFramework(ctx, registry, profile,
		frameworkruntime.WithClientSet(nowhere),
		frameworkruntime.WithInformerFactory(w.known.factory),
		frameworkruntime.WithSnapshotSharedLister(w.snapshot),
		frameworkruntime.WithSharedDRAManager(devices),
	)
	if err != nil {
		return nil, err
	}
	for _, each := range profile.Plugins.MultiPoint.Enabled {
		switch plugin := made[each.Name].(type) {
		case framework.FilterPlugin, framework.PreFilterPlugin:
			w.plugins = append(w.plugins, plugin)
		}
	}
	if err := w.known.put(all); err != nil {
		return nil, err
	}
	w.look()
	return w, nil
}

func (w *world) close() { w.stop() }

func (w *world) devices() (framework.SharedDRAManager, error) {
	logger := klog.FromContext(w.context)
	claims := assumecache.NewAssumeCache(logger, w.known.resourceClaims, "ResourceClaim", "", nil)
	enabled := utilfeature.DefaultFeatureGate.Enabled
	slices, err := tracker.StartTracker(w.context, tracker.Options{
		EnableDeviceTaints:       enabled(features.DRADeviceTaints),
		EnableConsumableCapacity: enabled(features.DRAConsumableCapacity),
		SliceInformer:            w.known.factory.Resource().V1().ResourceSlices(),
		KubeClient:               nowhere,
	})
	if err != nil {
		return nil, err
	}
	return dynamicresources.NewDRAManager(w.context, claims, slices, w.known.factory), nil
}

// look takes a new snapshot: every pod on a node that is there, but those that have finished, as
// kube-scheduler watches them.
func (w *world) look() {
	var nodes []*v1.Node
	there := map[string]bool{}
	for _, one := range w.known.nodes.indexer.List() {
		node := one.(*v1.Node)
		nodes, there[node.Name] = append(nodes, node), true
	}
	var pods []*v1.Pod
	for _, one := range w.known.pods.indexer.List() {
		pod := one.(*v1.Pod)
		over := pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
		if there[pod.Spec.NodeName] && !over {
			pods = append(pods, pod)
		}
	}
	w.snapshot.Snapshot = cache.NewSnapshot(pods, nodes)
}

func (w *world) pod(key string) (*v1.Pod, error) {
	found, exists, err := w.known.pods.indexer.GetByKey(key)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fmt.Errorf("there is no pod %s", key)
	}
	return found.(*v1.Pod), nil
}

// waiting are the keys of pods without a node.
func (w *world) waiting() []string {
	var found []string
	for _, one := range w.known.pods.indexer.List() {
		if pod := one.(*v1.Pod); pod.Spec.NodeName == "" {
			found = append(found, pod.Namespace+"/"+pod.Name)
		}
	}
	sort.Strings(found)
	return found
}

// nodes of the snapshot, those wanted or all.
func (w *world) nodes(wanted ...string) ([]fwk.NodeInfo, error) {
	if len(wanted) == 0 {
		return w.snapshot.NodeInfos().List()
	}
	var found []fwk.NodeInfo
	for _, name := range wanted {
		one, err := w.snapshot.NodeInfos().Get(name)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}
