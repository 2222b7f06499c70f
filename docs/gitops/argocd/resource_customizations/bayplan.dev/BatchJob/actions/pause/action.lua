-- Until somebody resumes it: no scheduled run starts before this time.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["bayplan.dev/paused-until"] = "2999-01-01T00:00:00Z"
return obj
