import * as z from "zod"
import { problemOfSize } from "./task-size.ts"

/** What a task on Fargate is given. */
export const sizeSchema = z
  .strictObject({ cpu: z.int(), memoryMiB: z.int() })
  .superRefine((size, context) => {
    const message = problemOfSize(size)
    if (message !== undefined) context.addIssue({ code: "custom", message })
  })
