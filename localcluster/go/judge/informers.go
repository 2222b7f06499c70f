package main

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// direct is an informer without a server: what is put into it is known at once, and whoever
// listens has heard of it when put returns.
type direct struct {
	cache.SharedIndexInformer
	indexer   cache.Indexer
	listeners []cache.ResourceEventHandler
}

type heard struct{}

func (heard) HasSynced() bool { return true }

func newDirect() *direct {
	index := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	return &direct{indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, index)}
}

func (d *direct) AddEventHandler(
	handler cache.ResourceEventHandler,
) (cache.ResourceEventHandlerRegistration, error) {
	d.listeners = append(d.listeners, handler)
	return heard{}, nil
}

func (d *direct) AddIndexers(more cache.Indexers) error  { return d.indexer.AddIndexers(more) }
func (d *direct) GetIndexer() cache.Indexer              { return d.indexer }
func (d *direct) GetStore() cache.Store                  { return d.indexer }
func (d *direct) HasSynced() bool                        { return true }
func (d *direct) SetTransform(cache.TransformFunc) error { return nil }

func (d *direct) put(object runtime.Object) error {
	before, exists, err := d.indexer.Get(object)
	if err != nil {
		return err
	}
	if exists {
		err = d.indexer.Update(object)
	} else {
		err = d.indexer.Add(object)
	}
	if err != nil {
		return err
	}
	for _, listener := range d.listeners {
		if exists {
			listener.OnUpdate(before, object)
		} else {
			listener.OnAdd(object, true)
		}
	}
	return nil
}

func (d *direct) drop(key string) error {
	before, exists, err := d.indexer.GetByKey(key)
	if err != nil || !exists {
		return err
	}
	if err := d.indexer.Delete(before); err != nil {
		return err
	}
	for _, listener := range d.listeners {
		listener.OnDelete(before)
	}
	return nil
}

// objects of a cluster, in the API's form.
type objects struct {
	Nodes                []*v1.Node                      `json:"nodes"`
	Pods                 []*v1.Pod                       `json:"pods"`
	Namespaces           []*v1.Namespace                 `json:"namespaces"`
	PVs                  []*v1.PersistentVolume          `json:"pvs"`
	PVCs                 []*v1.PersistentVolumeClaim     `json:"pvcs"`
	StorageClasses       []*storagev1.StorageClass       `json:"storageClasses"`
	CSINodes             []*storagev1.CSINode            `json:"csiNodes"`
	CSIDrivers           []*storagev1.CSIDriver          `json:"csiDrivers"`
	CSIStorageCapacities []*storagev1.CSIStorageCapacity `json:"csiStorageCapacities"`
	VolumeAttachments    []*storagev1.VolumeAttachment   `json:"volumeAttachments"`
	DeviceClasses        []*resourcev1.DeviceClass       `json:"deviceClasses"`
	ResourceClaims       []*resourcev1.ResourceClaim     `json:"resourceClaims"`
	ResourceSlices       []*resourcev1.ResourceSlice     `json:"resourceSlices"`
}

// known are the informers of a world, by kind.
type known struct {
	factory informers.SharedInformerFactory
	nodes, pods, namespaces, volumes, claims, classes, csiNodes, csiDrivers, capacities,
	attachments, deviceClasses, resourceClaims, slices *direct
	version int
}

func newKnown(client kubernetes.Interface) *known {
	k := &known{factory: informers.NewSharedInformerFactory(client, 0)}
	of := func(kind runtime.Object) *direct {
		made := newDirect()
		k.factory.InformerFor(
			kind,
			func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return made },
		)
		return made
	}
	k.nodes, k.pods, k.namespaces = of(&v1.Node{}), of(&v1.Pod{}), of(&v1.Namespace{})
	k.volumes, k.claims = of(&v1.PersistentVolume{}), of(&v1.PersistentVolumeClaim{})
	k.classes, k.csiNodes = of(&storagev1.StorageClass{}), of(&storagev1.CSINode{})
	k.csiDrivers, k.capacities = of(&storagev1.CSIDriver{}), of(&storagev1.CSIStorageCapacity{})
	k.attachments, k.deviceClasses = of(&storagev1.VolumeAttachment{}), of(&resourcev1.DeviceClass{})
	k.resourceClaims, k.slices = of(&resourcev1.ResourceClaim{}), of(&resourcev1.ResourceSlice{})
	of(&policyv1.PodDisruptionBudget{})
	return k
}

// put makes these objects known; their resourceVersion is the order in which they came.
func (k *known) put(all *objects) error {
	return firstError(
		putAll(k, k.namespaces, all.Namespaces),
		putAll(k, k.nodes, all.Nodes),
		putAll(k, k.classes, all.StorageClasses),
		putAll(k, k.csiNodes, all.CSINodes),
		putAll(k, k.csiDrivers, all.CSIDrivers),
		putAll(k, k.capacities, all.CSIStorageCapacities),
		putAll(k, k.volumes, all.PVs),
		putAll(k, k.claims, all.PVCs),
		putAll(k, k.attachments, all.VolumeAttachments),
		putAll(k, k.deviceClasses, all.DeviceClasses),
		putAll(k, k.resourceClaims, all.ResourceClaims),
		putAll(k, k.slices, all.ResourceSlices),
		putAll(k, k.pods, all.Pods),
	)
}

func putAll[T runtime.Object](k *known, into *direct, all []T) error {
	for _, one := range all {
		accessor, err := meta.Accessor(one)
		if err != nil {
			return err
		}
		k.version++
		accessor.SetResourceVersion(fmt.Sprint(k.version))
		if err := into.put(one); err != nil {
			return err
		}
	}
	return nil
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
