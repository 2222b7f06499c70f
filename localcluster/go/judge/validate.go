package main

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podapi "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	resourcevalidation "k8s.io/kubernetes/pkg/apis/resource/validation"
	"k8s.io/kubernetes/pkg/apis/storage"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	storagevalidation "k8s.io/kubernetes/pkg/apis/storage/validation"
)

// invalid are the words of an API server that would store none of these objects.
func invalid(all *objects) []string {
	var found []string
	found = append(found, invalidOf(all.Namespaces, corevalidation.ValidateNamespace)...)
	found = append(found, invalidOf(all.Nodes, corevalidation.ValidateNode)...)
	found = append(found, invalidOf(all.Pods, func(pod *core.Pod) field.ErrorList {
		options := podapi.GetValidationOptionsFromPodSpecAndMeta(
			&pod.Spec, nil, &pod.ObjectMeta, nil,
		)
		options.ResourceIsPod = true
		return corevalidation.ValidatePodCreate(pod, options)
	})...)
	found = append(found, invalidOf(all.PVs, func(volume *core.PersistentVolume) field.ErrorList {
		options := corevalidation.ValidationOptionsForPersistentVolume(volume, nil)
		return corevalidation.ValidatePersistentVolume(volume, options)
	})...)
	found = append(found, invalidOf(all.PVCs, func(claim *core.PersistentVolumeClaim) field.ErrorList {
		options := corevalidation.ValidationOptionsForPersistentVolumeClaimCreate()
		return corevalidation.ValidatePersistentVolumeClaim(claim, options)
	})...)
	found = append(found, invalidOf(all.StorageClasses, storagevalidation.ValidateStorageClass)...)
	found = append(found, invalidOf(all.CSINodes, func(node *storage.CSINode) field.ErrorList {
		return storagevalidation.ValidateCSINode(node, storagevalidation.CSINodeValidationOptions{})
	})...)
	found = append(
		found, invalidOf(all.VolumeAttachments, storagevalidation.ValidateVolumeAttachment)...,
	)
	found = append(found, invalidOf(all.DeviceClasses, resourcevalidation.ValidateDeviceClass)...)
	found = append(found, invalidOf(all.ResourceClaims, resourcevalidation.ValidateResourceClaim)...)
	found = append(found, invalidOf(all.ResourceSlices, resourcevalidation.ValidateResourceSlice)...)
	return found
}

// invalidOf reads each object as the server does, defaults first, and asks what is wrong with it.
func invalidOf[External external, Internal any](
	all []External, validate func(*Internal) field.ErrorList,
) []string {
	var found []string
	for _, one := range all {
		stored := one.DeepCopyObject()
		legacyscheme.Scheme.Default(stored)
		read := new(Internal)
		accessor, err := meta.Accessor(stored)
		if err == nil {
			err = legacyscheme.Scheme.Convert(stored, read, nil)
		}
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		for _, wrong := range validate(read) {
			found = append(found, fmt.Sprintf("%T %s: %s", one, accessor.GetName(), wrong))
		}
	}
	return found
}

type external interface {
	runtime.Object
	*v1.Namespace | *v1.Node | *v1.Pod | *v1.PersistentVolume | *v1.PersistentVolumeClaim |
		*storagev1.StorageClass | *storagev1.CSINode | *storagev1.VolumeAttachment |
		*resourcev1.DeviceClass | *resourcev1.ResourceClaim | *resourcev1.ResourceSlice
}
